"""A commit of the Hub in the cache of ``huggingface_hub``: all its files, as the repository lists them, each whole.

Nothing in the cache says that only a part of a commit lies there: a file that was fetched by itself, a copy that was
interrupted. Where the Hub is away the library hands that out as if it were the commit, unless it has kept the list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.errors import DataError

_HASHES: Mapping[int, Callable[[int], Any]] = {
    40: lambda size: hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False),  # git's own, of a small file
    64: lambda _: hashlib.sha256(),
}
"""Hexadecimal digits of a blob's name → the hash that it is, of so many bytes."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is there of it, and what has to be."""

    source: str
    folder: Path
    sizes: Mapping[str, int]
    """Name of every file in the repository → bytes."""
    fetch: str
    """The command that fetches it."""

    def check_whole(self, names: Iterable[str]) -> None:
        """Raises ``DataError`` for a file that is not as large as the repository says, or is no file."""
        for name in names:
            if "\n" in name:  # each message about it would have a line that is not ours
                raise DataError(f"{self.source}: {name!r} has a line break in its name; name another file or commit")
            file = self.folder / name
            stated = f"has {self.sizes[name]} bytes"
            if not file.is_file():
                found = "there is none, or a pipe or a folder"
            elif file.stat().st_size != self.sizes[name]:
                found = f"that of the cache has {file.stat().st_size}"
            else:
                continue
            raise DataError(
                f"{self.source}: {name} {stated} in that commit, and {found} ({file}); remove {file.resolve()}, and "
                f"fetch it again: {self.fetch}"
            )

    def check_nothing_else(self, names: Iterable[str]) -> None:
        """Raises ``DataError`` for a file of the folder that the commit does not have."""
        for name in names:
            if name not in self.sizes:
                raise DataError(f"{self.source}: {name!r} is no file of that commit; remove it from {self.folder}")


def listed(repository: str, kind: str, revision: str, folder: Path, alone: str | None = None) -> dict[str, int]:
    """Name → bytes of the files of a commit, by the cache's list or else the Hub's.

    Where only ``alone`` is asked for, it needs no list if it is what its blob's name says. Raises what
    ``huggingface_hub`` does where the Hub has to be asked.
    """
    from huggingface_hub import HfApi, RepoFile, errors, get_cached_repo_tree

    try:
        files: Iterable[Any] = get_cached_repo_tree(repository, repo_type=kind, revision=revision)
    except errors.CachedRepoTreeNotFoundError:
        if alone is not None and _is_what_its_name_says(folder / alone):
            return {alone: (folder / alone).stat().st_size}
        files = HfApi().list_repo_tree(repository, recursive=True, repo_type=kind, revision=revision)
    return {file.path: file.size for file in files if isinstance(file, RepoFile)}


def _is_what_its_name_says(file: Path) -> bool:
    blob = file.resolve()
    if blob.parent.name != "blobs" or len(blob.name) not in _HASHES or not blob.is_file():
        return False
    digest = _HASHES[len(blob.name)](blob.stat().st_size)
    with blob.open("rb") as content:
        while piece := content.read(2**20):
            digest.update(piece)
    return bool(digest.hexdigest() == blob.name)
