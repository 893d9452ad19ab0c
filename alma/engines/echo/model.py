"""A folder as a model: what the ``echo`` engines share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from alma.errors import DataError
from alma.sections import Section

SectionT = TypeVar("SectionT", bound=Section)


class HoldsNothing:
    """Has nothing to give back when its ``with`` block is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class EchoModel(HoldsNothing, Generic[SectionT]):
    """A model that is told from others by its ``fingerprint``."""

    def __init__(self, cfg: SectionT, model: Path) -> None:
        self.cfg = cfg
        self.fingerprint = fingerprint(model)


def fingerprint(model: Path) -> str:
    """What tells one echo model from another: a hash over ``model.safetensors`` and ``config.json``, where present.

    Raises ``DataError`` for what is no folder.
    """
    if not model.is_dir():
        raise DataError(f"{model} is not a folder; a model is a folder, for the echo engine any folder")
    found = [model / name for name in ("model.safetensors", "config.json") if (model / name).is_file()]
    return digest(*(f"{each.name} {_file_digest(each)}" for each in found))


def digest(*texts: str) -> str:
    """Hexadecimal SHA-256 of the texts and of where each ends."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def count_tokens(text: str) -> int:
    """Words."""
    return len(text.split())


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
