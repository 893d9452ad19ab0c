"""Whether a model's weights are numbers at all: each safetensors file is read once, by its bytes, without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path

import numpy as np

from alma.errors import DataError
from alma.parallel import in_order

CHUNK_BYTES = 2**21
"""That are looked at together: they stay in a core's cache."""

_INFINITY = {"F64": 0x7FF << 52, "F32": 0xFF << 23, "F16": 0x1F << 10, "BF16": 0xFF << 7}
"""The bits of infinity in each format; those of a NaN are larger. What is quantized has neither."""

_NAMED = 3


def check_finite(files: Sequence[Path], source: str) -> None:
    """Raises ``DataError`` with the names of the tensors in safetensors that hold a NaN or an infinity.

    ``source`` is the folder's name in messages. The files are whole: ``alma.sources.weights.tensor_shapes`` has read
    their headers. One that becomes shorter meanwhile raises ``DataError`` too: were it mapped into memory, the system
    would kill this process without a word. Some GB a second of a core.
    """
    weights = [file for file in files if file.suffix == ".safetensors"]
    wrong = in_order(_wrong, weights, min(8, os.cpu_count() or 1))  # NumPy releases the GIL
    found = [(file, names) for file, names in zip(weights, wrong, strict=True) if names]
    if found:
        file, names = found[0]
        count = sum(len(each) for _, each in found)
        raise DataError(
            f"{source}: {count} tensors hold a NaN or an infinity: {', '.join(names[:_NAMED])}"
            f"{', …' if count > _NAMED else ''} in {file.name}; every answer would be worthless: fetch the model "
            "again, or take a checkpoint from before its training went wrong"
        )


def shorter(file: str) -> str:
    """What is said of a file that ended before it should."""
    return f"{file}: became shorter while it was read; do not write to a model that is read"


def _wrong(file: Path) -> list[str]:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
        return sorted(
            name
            for name, tensor in header.items()
            if tensor.get("dtype") in _INFINITY
            and not all(_finite(raw, tensor["dtype"]) for raw in _chunks(opened, 8 + size, *tensor["data_offsets"]))
        )


def _chunks(opened: BufferedReader, start: int, first: int, end: int) -> Iterator[memoryview]:
    """The bytes ``first`` to ``end`` behind ``start``; each piece holds until the next one is asked for."""
    room = memoryview(bytearray(min(CHUNK_BYTES, end - first)))
    opened.seek(start + first)
    for at in range(first, end, CHUNK_BYTES):
        piece = room[: min(CHUNK_BYTES, end - at)]
        if opened.readinto(piece) < len(piece):
            raise DataError(shorter(opened.name))
        yield piece


def _finite(raw: memoryview, dtype: str) -> bool:
    """By the bits alone: as whole numbers with a sign the positive ones are in order, without a sign the negative."""
    infinity, width = _INFINITY[dtype], {"F64": 8, "F32": 4}.get(dtype, 2)
    sign = 1 << (8 * width - 1)
    bits = np.frombuffer(raw, f"<u{width}")
    return bool(bits.view(f"<i{width}").max() < infinity and bits.max() < infinity + sign)
