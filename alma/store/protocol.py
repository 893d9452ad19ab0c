"""What every store can do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Objects by name. A name is a relative POSIX path such as ``respond/3f2a…/parts/00003.parquet``.

    Every method may raise ``AccessError``, ``StoreUnavailableError``, ``NoSpaceError``, ``ConfigError`` (the bucket
    does not exist) and ``ValueError`` (not an object name). Several threads may use one store at once.
    """

    uri: str

    def exists(self, name: str) -> bool:
        """Whether the object exists; an object that exists is whole."""

    def read(self, name: str) -> bytes:
        """A small object (a manifest). Raises ``FileNotFoundError``."""

    def write(self, name: str, data: bytes) -> None:
        """Publishes a small object, whole or not at all."""

    def upload(self, path: Path, name: str) -> None:
        """Publishes a file, whole or not at all, without holding it in memory."""

    def download(self, name: str, path: Path) -> str:
        """Fetches an object to ``path`` (temporary name, then rename). Raises ``FileNotFoundError``.

        Returns the SHA-256 of the bytes in hex, so that they need not be read again to be checked.
        """

    def version(self, name: str) -> tuple[str, int]:
        """A version that differs for every content under this name, and the size in bytes. ``FileNotFoundError``."""

    def list(self, prefix: str) -> dict[str, int]:
        """Full names below ``prefix`` (as of a folder; ``""`` lists all) and their sizes in bytes, sorted.

        Unfinished uploads are not listed, nor are objects whose keys are not valid names.
        """

    def remove(self, name: str) -> None:
        """Removes an object if it exists. Only for files that no manifest states: nothing sealed is ever removed."""

    def local(self, name: str) -> Path | None:
        """The object's path where the store is a folder of this machine, whether it exists or not; else ``None``."""
