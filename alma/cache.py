"""Files of the store on this machine: in place where the store is a folder, else fetched once into a cache.

What is read is checked: a file whose size or SHA-256 differs from the manifest's is refused (in place) or fetched again
(from the cache).
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from alma.errors import IntegrityError
from alma.store import Store


def cache_root() -> Path:
    """``$ALMA_CACHE``, else ``~/.cache/alma``."""
    named = os.environ.get("ALMA_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "alma"


def store_cache(store: Store) -> Path:
    """The cache folder of one store."""
    return cache_root() / hashlib.sha256(store.uri.encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(store: Store, name: str, size: int, sha256: str) -> Path:
    """The object ``name`` as a file of this machine. Raises ``IntegrityError`` if it is missing or altered."""
    place = store.local(name)
    if place is not None:
        problem = _problem(place, size, sha256)
        if problem:
            raise IntegrityError(
                f"{place}: {problem}; remove the folder {place.parent} and run again to compute it anew"
            )
        return place
    place = store_cache(store) / name
    if _problem(place, size, sha256):
        place.unlink(missing_ok=True)
        _checked.cache_clear()
        try:
            store.download(name, place)
        except FileNotFoundError as error:
            raise IntegrityError(f"{store.uri}: {name} is in the manifest and not in the store") from error
        problem = _problem(place, size, sha256)
        if problem:
            place.unlink(missing_ok=True)
            raise IntegrityError(f"{store.uri}: {name}: {problem}; remove the artifact and run again")
    return place


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
def _checked(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - part of the cache's key
    """One hash per file and process, however often it is read."""
    return sha256_file(path)
