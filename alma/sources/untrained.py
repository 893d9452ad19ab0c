"""Tokens that a model has never read: their embeddings lie about zero. Read by their bytes, without torch.

Llama 3's base models have such ones for turns (https://github.com/meta-pytorch/torchtune/issues/2429).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
        rows = _embeddings(file)
        if rows is None or not known:
            continue
        sample = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)
        usual = float(np.median(_lengths(rows[sample])))
        lengths = _lengths(rows[[ids[each] for each in known]])
        return [token for token, length in zip(known, lengths, strict=True) if length < FRACTION * usual]
    return []


def _embeddings(file: Path) -> np.ndarray | None:
    """The input embeddings in a file, (tokens, dimensions), not read yet; bfloat16 as the bits that it has."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
    name = next((each for each in header if each.endswith(EMBEDDINGS)), None)
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if name is None or header[name]["dtype"] not in kinds:
        return None
    start, _ = header[name]["data_offsets"]
    return np.memmap(file, kinds[header[name]["dtype"]], "r", 8 + size + start, tuple(header[name]["shape"]))


def _lengths(rows: np.ndarray) -> npt.NDArray[np.float64]:
    if rows.dtype == np.uint16:  # bfloat16 is the upper half of a float32
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    lengths: npt.NDArray[np.float64] = np.linalg.norm(rows.astype(np.float64), axis=1)
    return lengths
