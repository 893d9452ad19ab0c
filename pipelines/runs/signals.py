"""SIGTERM and Ctrl-C as exceptions, so that a wait or a slow request ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """SIGTERM came. Not an ``Exception``, as ``KeyboardInterrupt`` is not: no retry may swallow it."""


_came: list[type[BaseException]] = []
"""What the signals of this process have raised so far."""


def listen() -> None:
    """Makes SIGTERM raise ``Terminated`` in the main thread, once; a second one is ignored. Ctrl-C is remembered too.

    Early, because as process 1 of a container a process without a handler ignores SIGTERM until it is killed.
    """

    def terminate(signum: int, frame: object) -> None:
        del frame
        signal.signal(signum, signal.SIG_IGN)
        _came.append(Terminated)
        raise Terminated

    def interrupt(signum: int, frame: object) -> None:
        del signum, frame
        _came.append(KeyboardInterrupt)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, interrupt)


def check() -> None:
    """Raises what a signal has raised before and Python has dropped, as it does in a destructor."""
    if _came:
        raise _came[-1]


@contextmanager
def postponed() -> Iterator[None]:
    """Holds SIGTERM and SIGINT back: a request that creates something must not end without its answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
