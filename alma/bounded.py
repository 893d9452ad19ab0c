"""Bounds on what one piece of work may take of this machine: what people bring is measured by what it costs to read.

A file of some kilobytes may stand for terabytes (compression, dictionaries, prefixes that are left out), and its own
account of its sizes may be wrong. So the system is asked to refuse more memory while it is read. What a server answers
may have no end: it is read piece by piece, as far as a bound.
"""

from __future__ import annotations

import math
import os
import resource
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STATM = Path("/proc/self/statm")
_LOCK = threading.RLock()
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)
_bounds: list[int] = []
"""That hold now, of the thread that has the lock."""


@contextmanager
def bounded_memory(most_bytes: int) -> Iterator[None]:
    """Within it, this process may take ``most_bytes`` of memory more: ``MemoryError`` where it asks for more.

    The bound is the whole process's and counts addresses; threads wait for each other, and for it to end where they
    start a process (``unbounded``). A system that has no such bound, or a lower one, keeps its own.
    """
    with _LOCK:
        _bounds.append(most_bytes)
        before = resource.getrlimit(resource.RLIMIT_AS)
        with suppress(ValueError, OSError):
            most = _addresses() + most_bytes
            if before[0] == resource.RLIM_INFINITY or most < before[0]:
                resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
            _bounds.pop()


@contextmanager
def unbounded() -> Iterator[None]:
    """Within it no bound of ``bounded_memory`` holds: what a process is started in, which would inherit it for good."""
    with _LOCK:
        assert not _bounds, "a process is started while what somebody brought is read"
        yield


class TooLargeError(ValueError):
    """More came than is read; says how much that is."""


class TooSlowError(TimeoutError):
    """What comes had not come in time."""


def within(pieces: Iterable[bytes], most_bytes: int, deadline: float = math.inf) -> Iterator[bytes]:
    """``pieces``, which are to be unpacked already, as they come.

    Raises ``TooLargeError`` where they are more than ``most_bytes`` together, ``TooSlowError`` where one comes after
    ``deadline`` (of ``time.monotonic``).
    """
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most_bytes:
            most = f"{most_bytes >> 20:,} MiB" if most_bytes % 2**20 == 0 else f"{most_bytes:,} bytes"
            raise TooLargeError(f"more than {most}")
        if time.monotonic() > deadline:
            raise TooSlowError
        yield piece


def _addresses() -> int:
    """Bytes of addresses that this process has."""
    return int(_STATM.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
