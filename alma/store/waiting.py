"""Says so where a store does not answer for long: otherwise a run would look as if it hung.

One thread watches those of this process that wait for an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alma.progress import tell

WORD_SECONDS = 20.0
"""Without an answer until a word is said, and between words; a request is given up after a minute, and tried again."""

NAP_SECONDS = 1.0
"""After which it is looked who waits meanwhile."""

_begun: dict[int, tuple[float, str, str, float]] = {}
_changed = threading.Condition()
_last_word = 0.0
_watcher: threading.Thread | None = None


def begin(whom: str, state: str = "has not answered for", silent_seconds: float | None = None) -> None:
    """This thread waits for an answer from ``whom`` from now on; ``state`` stands before the seconds.

    A first word is said after ``silent_seconds``, else after ``WORD_SECONDS``.
    """
    global _watcher  # noqa: PLW0603 - one for all stores of a process
    with _changed:
        most = WORD_SECONDS if silent_seconds is None else silent_seconds
        _begun[threading.get_ident()] = (time.monotonic(), whom, state, most)
        if _watcher is None or not _watcher.is_alive():  # a fork has none
            _watcher = threading.Thread(target=_watch, name="alma-store-waiting", daemon=True)
            _watcher.start()
        _changed.notify_all()


def end() -> None:
    """This thread has its answer."""
    with _changed:
        _begun.pop(threading.get_ident(), None)


@contextmanager
def waiting(whom: str, state: str = "has not answered for", silent_seconds: float | None = None) -> Iterator[None]:
    """This thread waits within the block; see ``begin``."""
    begin(whom, state, silent_seconds)
    try:
        yield
    finally:
        end()


def word(message: str) -> None:
    """Says a message, unless another was said just now."""
    global _last_word  # noqa: PLW0603
    with _changed:
        if time.monotonic() < _last_word + WORD_SECONDS / 2:
            return
        _last_word = time.monotonic()
    tell(message)


def _watch() -> None:
    while True:
        with _changed:
            while not _begun:
                _changed.wait()
            began, whom, state, most = min(_begun.values(), key=lambda each: each[0] + each[3])
        silent = time.monotonic() - began
        if silent < most:
            time.sleep(min(most - silent, NAP_SECONDS))
            continue
        word(f"{whom} {state} {silent:.0f} s; waits")
        time.sleep(WORD_SECONDS)
