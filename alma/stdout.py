"""Standard output is for results: what libraries print there while alma works goes to standard error.

They print when they are imported, through loggers of their own (DeepSpeed's), in C, and in processes that they start.
So the descriptor itself is led elsewhere, and not only Python's ``sys.stdout``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

_OUT, _ERR = 1, 2
_LOCK = threading.Lock()


class _Led:
    """Who is within, and what leads back when the last one leaves: threads enter and leave as they like."""

    num_within = 0
    back = ExitStack()


@contextmanager
def kept_for_results() -> Iterator[None]:
    """Within it, whatever is printed on standard output goes to standard error; for the whole process, threads too."""
    with _LOCK:
        if not _Led.num_within:
            _Led.back.enter_context(_led_away())
        _Led.num_within += 1
    try:
        yield
    finally:
        with _LOCK:
            _Led.num_within -= 1
            if not _Led.num_within:
                _Led.back.close()


@contextmanager
def _led_away() -> Iterator[None]:
    stdout = sys.stdout
    stdout.flush()
    with redirect_stdout(sys.stderr):
        try:
            results = os.dup(_OUT)
        except OSError:  # it was closed before we began
            yield
            return
        try:
            os.dup2(_ERR, _OUT)
            yield
        finally:
            stdout.flush()  # a logger that took it before
            os.dup2(results, _OUT)
            os.close(results)
