"""A file of known size that comes in ranges, in any order, and outlives a process that is killed while it comes.

Beside the file to be lie ``.alma-tmp-<hash>``, the bytes, and ``.alma-tmp-<hash>.ranges``, the journal: a line of JSON
that says what is being fetched, then the number of each finished range. A range is written first and noted after, so
that no note is ahead of its bytes while the machine stays up; after a crash of the whole machine, seen by the kernel's
boot id, nothing is trusted.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alma.store.names import TEMPORARY

RANGE_BYTES = 16 * 2**20
BLOCK_BYTES = 2**20
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def unfinished(path: Path) -> tuple[Path, Path]:
    """Where the bytes and the journal lie of a file that shall become ``path``."""
    data = path.with_name(TEMPORARY + hashlib.sha256(path.name.encode()).hexdigest()[:16])
    return data, data.with_name(data.name + ".ranges")


class Partial:
    """The bytes that are there. ``write`` and ``done`` may be called by several threads at once."""

    def __init__(self, file: int, journal: int, size: int, finished: set[int]) -> None:
        self._file = file
        self._journal = journal
        self.size = size
        self.num_ranges = -(-size // RANGE_BYTES)
        self.missing = [index for index in range(self.num_ranges) if index not in finished]

    def bounds(self, index: int) -> tuple[int, int]:
        """First byte of a range, and the one after its last."""
        return index * RANGE_BYTES, min((index + 1) * RANGE_BYTES, self.size)

    def write(self, data: memoryview, offset: int) -> None:
        """Puts bytes where they belong."""
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def done(self, index: int) -> None:
        """Notes that a range is whole."""
        os.write(self._journal, b"%d\n" % index)

    def blocks(self, index: int) -> Iterator[bytes]:
        """The bytes of a range."""
        at, stop = self.bounds(index)
        while at < stop:
            block = os.pread(self._file, min(BLOCK_BYTES, stop - at), at)
            if not block:
                raise OSError(errno.EIO, "a file that is being fetched was cut off by somebody else")
            yield block
            at += len(block)


@contextmanager
def partial(path: Path, size: int, version: str | None) -> Iterator[Partial]:
    """A ``Partial`` that becomes ``path`` when the block ends, whole, though not forced to the disk: it can be fetched
    again, and to wait for a slow disk would cost more than the network does.

    It starts with the ranges that an earlier attempt at the same ``version`` (an ETag) and ``size`` finished, and where
    the block fails it keeps its own for the next; without a version, or on a full disk, it keeps none. Two that want
    one path at once do not share: the second begins a file of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data, file = _claim(path)
    noted = data.with_name(data.name + ".ranges")
    header = header_of(size, version)
    journal = -1
    try:
        finished: set[int] = set()
        if version and noted.exists() and os.fstat(file).st_size == size:
            finished = read_journal(noted.read_bytes(), header)
        if not finished:
            os.ftruncate(file, 0)
            noted.write_bytes(header)
        os.ftruncate(file, size)
        journal = os.open(noted, os.O_WRONLY | os.O_APPEND)
        yield Partial(file, journal, size, finished)
        data.replace(path)
        noted.unlink(missing_ok=True)
    except BaseException as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or not version or (data, noted) != unfinished(path):
            data.unlink(missing_ok=True)
            noted.unlink(missing_ok=True)
        raise
    finally:
        if journal >= 0:
            os.close(journal)
        os.close(file)  # and with it the lock


def header_of(size: int, version: str | None) -> bytes:
    """The first line of the journal: what has to be equal for the bytes to be of use."""
    said = {"size": size, "version": version, "range_bytes": RANGE_BYTES, "boot": boot_id()}
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def boot_id() -> str | None:
    """Of this machine since it was started: what a process wrote is there for all others until then."""
    return _BOOT.read_text().strip() if _BOOT.exists() else None


def read_journal(content: bytes, header: bytes) -> set[int]:
    """The finished ranges; none if the journal is of something else. A line without its end does not count."""
    if not content.startswith(header):
        return set()
    lines = content[len(header) :].split(b"\n")[:-1]
    return {int(line) for line in lines if line.isdigit() and len(line) < 10}


def _claim(path: Path) -> tuple[Path, int]:
    """The file for the bytes, locked; another name where a live process has the usual one."""
    data, _ = unfinished(path)
    while True:
        file = os.open(data, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), data.stat()):
                return data, file
        except BlockingIOError:
            data = path.with_name(TEMPORARY + secrets.token_hex(8))
        except FileNotFoundError:  # between our open and our lock it became what it should
            pass
        os.close(file)
