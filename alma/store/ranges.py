"""A file of known size that is downloaded in ranges, in any order, and can be resumed after a kill.

Beside the final path lie ``.alma-tmp-<hash>``, the bytes, and ``.alma-tmp-<hash>.ranges``, the journal: a line of JSON
that says what is being fetched, then the number of each finished range. A range is noted after it is written, so that
the journal is never ahead of the bytes while the machine stays up. After a restart of the machine, seen by the
kernel's boot id, the journal is ignored.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alma.store.locks import lock
from alma.store.names import TEMPORARY

RANGE_BYTES = 16 * 2**20
BLOCK_BYTES = 2**20
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def unfinished(path: Path) -> tuple[Path, Path]:
    """The paths of the bytes and of the journal while ``path`` is being downloaded."""
    data = path.with_name(TEMPORARY + hashlib.sha256(path.name.encode()).hexdigest()[:16])
    return data, data.with_name(data.name + ".ranges")


class Partial:
    """The ranges of an unfinished download. Several threads may call ``write`` and ``done`` at once."""

    def __init__(self, file: int, journal: int, size: int, finished: set[int]) -> None:
        self._file = file
        self._journal = journal
        self.size = size
        self.num_ranges = -(-size // RANGE_BYTES)
        self.missing = [index for index in range(self.num_ranges) if index not in finished]

    def bounds(self, index: int) -> tuple[int, int]:
        """Offset of the first byte of a range, and of the one after its last."""
        return index * RANGE_BYTES, min((index + 1) * RANGE_BYTES, self.size)

    def write(self, data: memoryview, offset: int) -> None:
        """Writes bytes at their offset in the file."""
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def done(self, index: int) -> None:
        """Notes in the journal that a range is finished."""
        os.write(self._journal, b"%d\n" % index)

    def blocks(self, index: int) -> Iterator[bytes]:
        """The bytes of a range."""
        at, stop = self.bounds(index)
        while at < stop:
            block = os.pread(self._file, min(BLOCK_BYTES, stop - at), at)
            if not block:
                raise OSError(errno.EIO, "a file that is being fetched was truncated by another process")
            yield block
            at += len(block)


@contextmanager
def partial(path: Path, size: int, version: str | None) -> Iterator[Partial]:
    """A ``Partial`` that becomes ``path`` when the block ends.

    It is not forced to the disk: it can be fetched again, and waiting for a slow disk would cost more than the network
    does. It starts with the ranges that an earlier attempt at the same ``version`` (an ETag) and ``size`` finished;
    where the block fails, its own are kept for the next attempt, unless there is no version or the disk is full. Of two
    processes that fetch one path at once, the second begins a file of its own.
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
        os.close(file)  # which releases the lock


def header_of(size: int, version: str | None) -> bytes:
    """The first line of the journal: a download is resumed only where this is equal."""
    said = {"size": size, "version": version, "range_bytes": RANGE_BYTES, "boot": boot_id()}
    return json.dumps(said, sort_keys=True).encode() + b"\n"


def boot_id() -> str | None:
    """Changes when the machine restarts; until then, what one process wrote is there for all others."""
    return _BOOT.read_text().strip() if _BOOT.exists() else None


def read_journal(content: bytes, header: bytes) -> set[int]:
    """The finished ranges; none if the journal is of another download. An unfinished line does not count."""
    if not content.startswith(header):
        return set()
    lines = content[len(header) :].split(b"\n")[:-1]
    return {int(line) for line in lines if line.isdigit() and len(line) < 10}


def _claim(path: Path) -> tuple[Path, int]:
    """The file for the bytes, locked; one of another name where a live process has, or may have, the usual one."""
    data, _ = unfinished(path)
    while True:
        file = os.open(data, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            alone = lock(file, wait=False) or data != unfinished(path)[0]  # nobody else knows another name
            if alone and os.path.samestat(os.fstat(file), data.stat()):
                return data, file
            if not alone:
                data = path.with_name(TEMPORARY + secrets.token_hex(8))
        except BlockingIOError:
            data = path.with_name(TEMPORARY + secrets.token_hex(8))
        except FileNotFoundError:  # renamed to the final path between our open and our lock
            pass
        os.close(file)
