"""Bounds on what one piece of work may take of this machine: what people bring is measured by what it costs to read.

A file of some kilobytes may stand for terabytes (compression, dictionaries, prefixes that are left out), and its own
account of its sizes may be wrong. So the system is asked to refuse more memory while it is read.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STATM = Path("/proc/self/statm")
_LOCK = threading.RLock()


@contextmanager
def bounded_memory(most_bytes: int) -> Iterator[None]:
    """Within it, this process may take ``most_bytes`` of memory more: ``MemoryError`` where it asks for more.

    The bound is the whole process's, counts addresses, and is inherited by processes that are started within it;
    threads wait for each other. A system that has no such bound, or a lower one, keeps its own.
    """
    with _LOCK:
        before = resource.getrlimit(resource.RLIMIT_AS)
        with suppress(ValueError, OSError):
            most = _addresses() + most_bytes
            if before[0] == resource.RLIM_INFINITY or most < before[0]:
                resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def _addresses() -> int:
    """Bytes of addresses that this process has."""
    return int(_STATM.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
