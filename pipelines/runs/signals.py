"""SIGTERM as an exception, so that a wait or a slow request ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """SIGTERM came. Not an ``Exception``, as ``KeyboardInterrupt`` is not: no retry may swallow it."""


def listen() -> None:
    """Makes SIGTERM raise ``Terminated`` in the main thread, once; a second one is ignored.

    Early, because as process 1 of a container a process without a handler ignores SIGTERM until it is killed.
    """

    def raise_once(signum: int, frame: object) -> None:
        del frame
        signal.signal(signum, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, raise_once)


@contextmanager
def postponed() -> Iterator[None]:
    """Holds SIGTERM and SIGINT back: a request that creates something must not end without its answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
