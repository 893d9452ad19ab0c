"""How a run is killed at a moment that a seed chooses, and how it is kept from the locks of its file system."""

from __future__ import annotations

AT_OPERATION = """
import os, signal, sys
left = {number}
def count(event, given):
    global left
    if event == "open" and not (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        return
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "http.client.send"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""
"""Kills the process before its NUMBER-th change of the file system or message to a server."""

WITHOUT_LOCKS = """
import errno, fcntl, os
def flock(*_):
    raise OSError(errno.{error}, os.strerror(errno.{error}))
fcntl.flock = flock
"""
"""Has flock(2) fail as a network file system does that has none."""

OPERATIONS = 480
"""Of the tiny run, about: a few more on S3 than in a folder."""


def at_operation(number: int) -> str:
    """Python that a run executes first."""
    return AT_OPERATION.replace("{number}", str(number))


def without_locks(error: str) -> str:
    """Python that a run executes first; ``error`` is a name in ``errno``."""
    return WITHOUT_LOCKS.replace("{error}", error)
