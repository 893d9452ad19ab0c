"""Standard output is for results: what libraries print there while alma works goes to standard error.

They print when they are imported, through loggers of their own (DeepSpeed's), in C, and in processes that they start.
So the descriptor itself is led elsewhere, and not only Python's ``sys.stdout``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_OUT, _ERR = 1, 2


@contextmanager
def kept_for_results() -> Iterator[None]:
    """Within it, whatever is printed on standard output goes to standard error; for the whole process, threads too."""
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
