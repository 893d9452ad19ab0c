"""Whether a model's weights are numbers at all: each safetensors file is read once, by its bytes, without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from alma.errors import DataError

CHUNK = 2**24
"""Numbers that are looked at together."""

_INFINITY = {"F64": 0x7FF << 52, "F32": 0xFF << 23, "F16": 0x1F << 10, "BF16": 0xFF << 7}
"""The bits of infinity in each format; those of a NaN are larger. What is quantized has neither."""

_NAMED = 3


def check_finite(files: Sequence[Path], source: str) -> None:
    """Raises ``DataError`` with the names of the tensors in safetensors that hold a NaN or an infinity.

    ``source`` is the folder's name in messages. The files are whole: ``alma.sources.weights.tensor_shapes`` has read
    their headers. Some GB a second of a core.
    """
    weights = [file for file in files if file.suffix == ".safetensors"]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:  # NumPy releases the GIL
        found = [(file, names) for file, names in zip(weights, threads.map(_wrong, weights), strict=True) if names]
    if found:
        file, names = found[0]
        count = sum(len(each) for _, each in found)
        raise DataError(
            f"{source}: {count} tensors hold a NaN or an infinity: {', '.join(names[:_NAMED])}"
            f"{', …' if count > _NAMED else ''} in {file.name}; every answer would be worthless: fetch the model "
            "again, or take a checkpoint from before its training went wrong"
        )


def _wrong(file: Path) -> list[str]:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
    data = np.memmap(file, np.uint8, "r")[8 + size :] if file.stat().st_size > 8 + size else np.empty(0, np.uint8)
    return sorted(
        name
        for name, tensor in header.items()
        if tensor.get("dtype") in _INFINITY and not _finite(data[slice(*tensor["data_offsets"])], tensor["dtype"])
    )


def _finite(raw: np.ndarray, dtype: str) -> bool:
    """By the bits alone: as whole numbers with a sign the positive ones are in order, without a sign the negative."""
    infinity, width = _INFINITY[dtype], {"F64": 8, "F32": 4}.get(dtype, 2)
    sign = 1 << (8 * width - 1)
    for start in range(0, raw.size, CHUNK * width):
        bits = np.frombuffer(raw[start : start + CHUNK * width], f"<u{width}")
        if bits.view(f"<i{width}").max() >= infinity or bits.max() >= infinity + sign:
            return False
    return True
