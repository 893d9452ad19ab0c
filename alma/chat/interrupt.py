"""Ctrl-C while a model answers: it stops the answer, and what came is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yields what turns true on Ctrl-C. A second one does what it does elsewhere."""
    asked = False

    def ask(signum: int, _: object) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(signum, None)
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
