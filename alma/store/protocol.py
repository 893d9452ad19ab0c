"""What every store can do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Objects by name. A name is a relative POSIX path such as ``respond/3f2a…/parts/00003.parquet``.

    Every method may raise ``AccessError``, ``StoreUnavailableError``, ``NoSpaceError`` and (a bucket that is not
    there) ``ConfigError``; a name that is none is a ``ValueError``. A store may be shared by threads.
    """

    uri: str

    def exists(self, name: str) -> bool:
        """Whether the object is there, whole."""

    def read(self, name: str) -> bytes:
        """A small object (a manifest). Raises ``FileNotFoundError``."""

    def write(self, name: str, data: bytes) -> None:
        """Publishes a small object, whole or not at all."""

    def upload(self, path: Path, name: str) -> None:
        """Publishes a file, whole or not at all, without holding it in memory."""

    def download(self, name: str, path: Path) -> str:
        """Fetches an object to ``path`` (temporary name, then rename). Raises ``FileNotFoundError``.

        Returns the SHA-256 of what came, in hex, so that nobody has to read it again to check it.
        """

    def version(self, name: str) -> tuple[str, int]:
        """What tells this content of an object from others under its name, and its size. ``FileNotFoundError``."""

    def list(self, prefix: str) -> dict[str, int]:
        """Whole names below ``prefix`` (a folder-like name; ``""`` is all) and their sizes in bytes, sorted.

        Unfinished uploads do not show, nor do objects of others whose key is no name of ours.
        """

    def remove(self, name: str) -> None:
        """Removes an object, if it is there. For what no manifest states only: nothing sealed is ever removed."""

    def local(self, name: str) -> Path | None:
        """The object's path where the store is a folder of this machine, there or not, else ``None``."""
