"""Tokens that a model has never read: their embeddings lie about zero. Read by their bytes, without torch.

Llama 3's base models have such ones for turns (https://github.com/meta-pytorch/torchtune/issues/2429).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alma.errors import DataError
from alma.sources.finite import shorter
from alma.sources.weights import read_json

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
"""How names of input embeddings end."""

FRACTION = 0.1
"""Of the median length of an embedding, below which one counts as untrained. [ours]"""

_SAMPLE = 1000
"""Rows whose median length is taken."""


def untrained(folder: Path, files: Sequence[Path], tokens: Collection[str], source: str) -> list[str]:
    """Those of ``tokens`` whose input embedding is shorter than ``FRACTION`` of what is usual; in their order.

    ``files`` are the model's safetensors. Nothing is found in formats other than 16 and 32 bits.
    """
    if not tokens:
        return []
    added = read_json(folder / "tokenizer.json", source).get("added_tokens") or []
    ids = {each["content"]: each["id"] for each in added}
    known = [each for each in tokens if each in ids]
    for file in files:
        with file.open("rb") as opened:
            rows = _embeddings(opened)
            if rows is None:
                continue
            known = [each for each in known if ids[each] < rows.num]  # else the model's loading will say it
            if not known:
                return []
            sample = np.linspace(0, rows.num - 1, min(rows.num, _SAMPLE)).astype(int)
            usual = float(np.median(rows.lengths(sample)))
            lengths = rows.lengths([ids[each] for each in known])
        return [token for token, length in zip(known, lengths, strict=True) if length < FRACTION * usual]
    return []


@dataclass(frozen=True, slots=True)
class _Embeddings:
    """The input embeddings in a file, read row by row; bfloat16 as the bits that it has."""

    opened: BinaryIO
    start: int
    num: int
    dimensions: int
    dtype: np.dtype[Any]

    def lengths(self, places: Iterable[int]) -> npt.NDArray[np.float64]:
        """The Euclidean lengths of these rows. Raises ``DataError`` where the file has become shorter."""
        rows = np.stack([self._row(int(place)) for place in places])
        if rows.dtype == np.uint16:  # bfloat16 is the upper half of a float32
            rows = (rows.astype(np.uint32) << 16).view(np.float32)
        lengths: npt.NDArray[np.float64] = np.linalg.norm(rows.astype(np.float64), axis=1)
        return lengths

    def _row(self, place: int) -> np.ndarray:
        size = self.dimensions * self.dtype.itemsize
        self.opened.seek(self.start + place * size)
        raw = self.opened.read(size)
        if len(raw) < size:
            raise DataError(shorter(self.opened.name))
        return np.frombuffer(raw, self.dtype)


def _embeddings(opened: BinaryIO) -> _Embeddings | None:
    size = int.from_bytes(opened.read(8), "little")
    header = json.loads(opened.read(size))
    name = next((each for each in header if each.endswith(EMBEDDINGS)), None)
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if (
        name is None
        or header[name]["dtype"] not in kinds
        or len(header[name]["shape"]) != 2
        or 0 in header[name]["shape"]
    ):
        return None
    num, dimensions = header[name]["shape"]
    start = 8 + size + header[name]["data_offsets"][0]
    return _Embeddings(opened, start, num, dimensions, np.dtype(kinds[header[name]["dtype"]]))
