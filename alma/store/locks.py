"""Locks on open files, by flock(2), and what is done where a file system has none.

The kernel releases them however a process dies. Some network file systems refuse them: then nobody is kept out, and
whoever asks has to write under names of its own.
"""

from __future__ import annotations

import errno
import fcntl
from typing import IO

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTTY)


def lock(file: IO[bytes] | IO[str] | int, *, shared: bool = False, wait: bool = True) -> bool:
    """Locks an open file until it is closed; ``False`` where its file system has no locks.

    Raises ``BlockingIOError`` without ``wait`` where another process has it locked.
    """
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(file, how)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        error.filename = error.filename or getattr(file, "name", None)
        raise
    return True
