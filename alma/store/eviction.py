"""Keeps the cache below its bound: what lies in it, what is in use, and what is evicted first.

Files are kept and evicted by shelf: all cached files of one artifact (the first two segments of their names). Below
``<cache>/.index`` every shelf has a folder::

    use             every process that uses the shelf holds a shared lock on it until it ends; its time is the last use
    <hash>.json     an ``Entry`` for each file, written before the download, so that the file counts from the start
    <hash>.lock     locked by the process that fetches the file

Locks are flock(2): the kernel releases them however a process dies, and pods of one node that mount the same volume see
each other's locks, provided that they run as the same user. A cache on a file system without locks evicts nothing.
``use`` and ``.lock`` files are empty, and are never removed, because another process may be waiting for them.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ByteSize, TypeAdapter, ValidationError

from alma.errors import ConfigError, NoSpaceError
from alma.store.locks import lock
from alma.store.ranges import unfinished

VARIABLE = "ALMA_CACHE_BYTES"
INDEX = ".index"
SHELF_DEPTH = 3  # the folder of a shelf is <cache>/<store>/<stage>/<key>
SPARE_BYTES = 2**20  # of the disk, for the index itself

_held: dict[Path, int] = {}
_holding = threading.Lock()


class Entry(BaseModel):
    """One cached file, relative to the cache. Without ``sha256`` its download is running or was interrupted.

    It is valid until the machine restarts (``boot``), because cached files are not forced to the disk.
    """

    path: str
    size: int
    mtime_ns: int = 0
    sha256: str | None = None
    boot: str | None = None

    def write(self, to: Path) -> None:
        """Writes the entry to ``to``, whole or not at all."""
        temporary = to.with_suffix(f".{secrets.token_hex(4)}")
        temporary.write_text(self.model_dump_json(), encoding="utf-8")
        temporary.replace(to)

    @classmethod
    def read(cls, path: Path) -> Entry | None:
        """The entry at ``path``; ``None`` if there is none or it cannot be read."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


class Shelf:
    """The files of one artifact in the cache at ``root``."""

    def __init__(self, root: Path, store: str, name: str) -> None:
        artifact = "/".join([store, *name.split("/")[:2]])
        self.root = root
        self.folder = root / INDEX / _short(artifact)
        self.use = self.folder / "use"

    def entry(self, name: str) -> Path:
        """Where the entry of a file lies."""
        return self.folder / f"{_short(name)}.json"

    def hold(self) -> None:
        """Protects the shelf from eviction until this process ends, and records that it was used now."""
        with _holding:
            held = _held.get(self.use)
            if held is None or os.fstat(held).st_nlink == 0:  # not held yet, or the whole cache was removed
                self.folder.mkdir(parents=True, exist_ok=True)
                held = os.open(self.use, os.O_RDWR | os.O_CREAT, 0o666)
                lock(held, shared=True)
                _held[self.use] = held
            os.utime(held)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file ``path``; waits while another process holds it."""
    with path.open("ab") as file:
        lock(file)  # without locks, two may fetch one file: each under a name of its own
        yield


def bound() -> int | None:
    """``$ALMA_CACHE_BYTES``: a number of bytes or ``200GiB``, ``200Gi``, ``1.5TB``; ``None``, the disk, if it is unset.

    Raises ``ConfigError``.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return None
    try:  # Kubernetes writes Gi where others write GiB
        size = int(TypeAdapter(ByteSize).validate_python(re.sub(r"(?<=[kKMGTPE])i$", "iB", given)))
    except (ValidationError, OverflowError):
        size = 0
    if size <= 0:
        raise ConfigError(f"{VARIABLE} = {given!r} is not a size; write bytes, or 200GiB, 200Gi, 1.5TB")
    return size


def reserve(root: Path, entry: Entry, at: Path) -> None:
    """Writes the entry of a file that is about to be downloaded, after making room for it.

    While there is too little room below the bound or on the disk, the least recently used shelf that no live process
    uses is evicted, with all its files. Raises ``NoSpaceError`` where that is not enough.
    """
    limit = bound()
    if limit is not None and entry.size > limit:
        raise NoSpaceError(f"{root}: {entry.path} has {entry.size:,} bytes, and {VARIABLE} is {limit:,}; raise it")
    with locked(root / INDEX / "lock"):
        to_come = entry.size - _on_disk(root / entry.path)
        entry.write(at)
        cached = 0 if limit is None else _size((root / INDEX).glob("*/*.json"))
        shelves = iter(sorted((root / INDEX).glob("*/use"), key=lambda use: use.stat().st_mtime_ns))
        while True:
            too_much = 0 if limit is None else cached - limit
            over = max(too_much, to_come + SPARE_BYTES - shutil.disk_usage(root).free)
            use = next(shelves, None) if over > 0 else None
            if use is None:
                break
            cached -= _evict(root, use)
        if over > 0:
            at.unlink(missing_ok=True)
            why = f"{VARIABLE} is {limit:,}" if limit is not None and over == too_much else "the disk is full"
            raise NoSpaceError(
                f"{root}: {entry.path} ({entry.size:,} bytes) needs {over:,} bytes more: {why}, and live processes "
                f"use what is cached; raise {VARIABLE}, free some space, or set ALMA_CACHE to a larger disk"
            )


def _size(paths: Iterable[Path]) -> int:
    entries = (Entry.read(path) for path in paths)
    return sum(entry.size for entry in entries if entry)


def _evict(root: Path, use: Path) -> int:
    """Removes all files of a shelf unless a process uses it; returns by how many bytes that shrinks the cache."""
    with use.open("ab") as file:
        try:
            if not lock(file, wait=False):  # nobody knows who uses it
                return 0
        except BlockingIOError:
            return 0
        paths = list(use.parent.glob("*.json"))
        freed = _size(paths)
        for path in paths:
            entry = Entry.read(path)
            if entry:
                cached = root / entry.path
                for each in (cached, *unfinished(cached)):
                    each.unlink(missing_ok=True)
                # Only folders of the shelf itself: other processes make folders above it.
                with suppress(OSError):  # not empty
                    for folder in list(cached.parents)[: max(0, len(Path(entry.path).parts) - SHELF_DEPTH)]:
                        folder.rmdir()
            path.unlink(missing_ok=True)
    return freed


def _on_disk(path: Path) -> int:
    """Bytes that a file and its unfinished form have on the disk already."""
    return sum(each.stat().st_blocks * 512 for each in (path, unfinished(path)[0]) if each.exists())


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]
