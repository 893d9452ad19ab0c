"""Files of the store on this machine: in place where the store is a folder, else fetched once into a cache.

What is read is checked: a file whose size or SHA-256 differs from the manifest's is refused (in place) or fetched again
(from the cache). All processes and pods that see the cache share it: one fetches a file while the others wait; if it
is killed, the next one resumes its download. ``$ALMA_CACHE_BYTES`` bounds the cache (``eviction``); without it only
the disk does. The scratch folders of stages lie in the cache too; they do not count towards the bound and are never
evicted.

A cached file is hashed while it is downloaded, and once more after the machine has been restarted. In between, its
index entry is trusted: a file of the same size and modification time is taken to be the same file. A change that keeps
both, made by a program that may write to the cache or by a failing disk, is not noticed.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path, PurePosixPath

from alma.errors import IntegrityError
from alma.regular import check_regular
from alma.store.eviction import Entry, Shelf, locked, reserve
from alma.store.files import file_errors
from alma.store.protocol import Store
from alma.store.ranges import boot_id, unfinished


def cache_root() -> Path:
    """``$ALMA_CACHE``, else ``~/.cache/alma``."""
    named = os.environ.get("ALMA_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "alma"


def store_cache(store: Store) -> Path:
    """The cache folder of one store."""
    return cache_root() / hashlib.sha256(store.uri.encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex. Raises ``DataError`` for a pipe or a device, which has no end."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(store: Store, name: str, size: int, sha256: str) -> Path:
    """The object ``name`` as a file of this machine. Raises ``IntegrityError`` if it is missing or altered."""
    place = store.local(name)
    if place is not None:
        problem = _problem(place, size, sha256)
        if problem:
            raise IntegrityError(
                f"{place}: {problem}; remove the folder {_artifact(place, name)} and run again to compute it anew"
            )
        return place
    root = cache_root()
    with file_errors(root):
        return _fetched(store, root, name, size, sha256)


def _artifact(place: Path, name: str) -> Path:
    """The folder STAGE/KEY that ``name`` is of: with its manifest, which would say of the rest that it is whole."""
    return place.parents[max(len(PurePosixPath(name).parts) - 3, 0)]


def current(store: Store, name: str) -> Path:
    """An object that no manifest describes, with its current content, as a file of this machine.

    It is fetched once per version.
    """
    place = store.local(name)
    if place is not None:
        return place
    version, size = store.version(name)
    of_version = hashlib.sha256(f"{name} {version}".encode()).hexdigest()[:20]
    root = cache_root()
    with file_errors(root):
        return _fetched(store, root, f"sources/{of_version}/{PurePosixPath(name).name}", size, None, origin=name)


def _fetched(store: Store, root: Path, name: str, size: int, sha256: str | None, *, origin: str | None = None) -> Path:
    """The file ``name`` of the cache; ``origin`` is its object. Without ``sha256`` whatever arrives is accepted."""
    place = store_cache(store) / name
    shelf = Shelf(root, store.uri, name)
    shelf.hold()
    at = shelf.entry(name)
    if _trusted(place, at, sha256):
        return place
    with locked(at.with_suffix(".lock")):
        if _trusted(place, at, sha256):  # another process fetched it while we waited
            return place
        entry = Entry(path=place.relative_to(root).as_posix(), size=size)
        if place.exists() and (sha256 is None or _problem(place, size, sha256)):
            place.unlink(missing_ok=True)
        found = sha256
        if not place.exists():
            reserve(root, entry, at)
            found = _fetch(store, origin or name, place, at, sha256)
        state = place.stat()
        entry.model_copy(update={"mtime_ns": state.st_mtime_ns, "sha256": found, "boot": boot_id()}).write(at)
    return place


def _fetch(store: Store, name: str, place: Path, at: Path, sha256: str | None) -> str:
    """Fetches a file and returns its SHA-256. What arrived damaged, or resumed damaged bytes, is fetched once more."""
    try:
        found = store.download(name, place)
        if sha256 is not None and found != sha256:
            place.unlink()
            found = store.download(name, place)
    except FileNotFoundError as error:
        at.unlink(missing_ok=True)
        if sha256 is None:
            raise
        raise IntegrityError(f"{store.uri}: {name} is in the manifest and not in the store") from error
    except BaseException:
        if not unfinished(place)[0].exists():  # an unfinished download keeps its entry: it takes up space
            at.unlink(missing_ok=True)
        raise
    if sha256 is not None and found != sha256:
        place.unlink()
        at.unlink(missing_ok=True)
        raise IntegrityError(
            f"{store.uri}: {name}: has SHA-256 {found[:12]}… where its manifest says {sha256[:12]}…; "
            "remove the artifact and run again"
        )
    return found


def _trusted(place: Path, at: Path, sha256: str | None) -> bool:
    """Whether the cached file is the one that was checked."""
    entry = Entry.read(at)
    if entry is None or entry.sha256 is None or entry.boot != boot_id():
        return False
    if sha256 is not None and entry.sha256 != sha256:
        return False
    try:
        state = place.stat()
    except FileNotFoundError:
        return False
    return (state.st_size, state.st_mtime_ns) == (entry.size, entry.mtime_ns)


def _problem(path: Path, size: int, sha256: str) -> str | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return "is missing, and its manifest says it is there"
    if state.st_size != size:
        return f"has {state.st_size} bytes where its manifest says {size}"
    found = _checked(path, state.st_mtime_ns, size)
    return None if found == sha256 else f"has SHA-256 {found[:12]}… where its manifest says {sha256[:12]}…"


@lru_cache(maxsize=65536)
def _checked(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - part of the lru_cache's key
    """One hash per file and process, however often it is read."""
    return sha256_file(path)
