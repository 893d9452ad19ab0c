"""Models whose weights were quantized: what alma can neither train nor read rightly, told by the files alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FIELDS = ("quantization_config", "compression_config")
_FILES = {
    "quantize_config.json": "GPTQ",
    "quant_config.json": "AWQ",
    "hf_quant_config.json": "ModelOpt",
    "quanto_qmap.json": "quanto",
    "quantization_map.json": "quanto",
    "hqq_config.json": "HQQ",
    "qmodel.pt": "HQQ",
}
"""Files, directly in a model's folder, that say so by their names where config.json does not."""

_DEQUANTIZE = {
    "mxfp4": "Mxfp4Config(dequantize=True)",
    "fp8": "FineGrainedFP8Config(dequantize=True)",
    "compressed-tensors": "CompressedTensorsConfig(run_compressed=False)",
}
"""Method → the quantization_config with which transformers loads it in full."""

_PACKED = (
    ".qweight", ".qzeros", ".weight_packed", ".weight_scale", ".weight_scale_inv", ".absmax", ".quant_map", ".SCB",
    ".codebooks", ".W_q", "_blocks", ".weight._data",
)  # fmt: skip
"""How the names of tensors end that quantized weights consist of."""

_MAX_HEADER = 100_000_000
"""Bytes; the format's own limit of a header."""


def quantization(folder: Path, config: Mapping[str, Any]) -> str | None:
    """By which method the weights in ``folder`` were quantized, and where that is said; ``None`` where they were not.

    Whatever the method: all of them need code of their own to be loaded, and none can be trained in place.
    """
    for field in _FIELDS:
        stated = _stated(config, field)
        if stated is not None:
            method = stated.get("quant_method") or stated.get("quant_algo") or stated.get("format")
            return f"{method or 'a method that it does not name'} ({field} in config.json)"
    for name in marks(folder):
        return f"{_FILES[name]} ({name})"
    packed = next(_packed(folder), None)
    return None if packed is None else f"a method that config.json does not name ({packed})"


def marks(folder: Path) -> list[str]:
    """The files of ``folder`` that say so by their names; none of them is part of a model."""
    return [name for name in _FILES if (folder / name).exists()]


def whole_weights(method: str) -> str:
    """How whole weights are made of those of a method, as ``quantization`` names it."""
    config = _DEQUANTIZE.get(method.partition(" ")[0].lower())
    if config is None:
        return (
            "dequantize it with the library that made it (model.dequantize() of transformers, for most methods) and "
            "save that"
        )
    return f"load it with transformers and quantization_config={config}, dtype='bfloat16', and save that"


def _stated(config: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """The setting, of the model or of a model within it."""
    stated = config.get(field)
    if stated:
        return stated if isinstance(stated, Mapping) else {"quant_method": str(stated)}
    inner = (_stated(each, field) for each in config.values() if isinstance(each, Mapping))
    return next((each for each in inner if each is not None), None)


def _packed(folder: Path) -> Iterator[str]:
    """Tensors that no whole weights have; what is no safetensors file is told by others."""
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in _header(path).items():
            kind = str(tensor.get("dtype", ""))
            is_integer = name.endswith(".weight") and kind in ("I8", "U8", "I16", "I32")
            if kind.startswith(("F8_", "F6_", "F4")) or is_integer or name.endswith(_PACKED):
                yield f"{name} in {path.name} is {kind}"


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(size)) if size <= _MAX_HEADER else {}
        except (ValueError, RecursionError):
            header = {}
    found = header if isinstance(header, dict) else {}
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, dict)}
