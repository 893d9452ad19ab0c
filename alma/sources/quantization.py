"""Models whose weights were quantized: what alma can neither train nor read rightly, told by the files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FIELDS = ("quantization_config", "compression_config")
_FILES = {
    "*.gguf": "GGUF",
    "quantize_config.json": "GPTQ",
    "quant_config.json": "AWQ",
    "quanto_qmap.json": "quanto",
    "hqq_config.json": "HQQ",
    "qmodel.pt": "HQQ",
}
"""Patterns of files, directly in a model's folder, that say so where config.json does not."""


def quantization(folder: Path, config: Mapping[str, Any]) -> str | None:
    """By which method the weights in ``folder`` were quantized, and where that is said; ``None`` where they were not.

    Whatever the method: all of them need code of their own to be loaded, and none can be trained in place.
    """
    for field in _FIELDS:
        stated = _stated(config, field)
        if stated is not None:
            method = stated.get("quant_method") or stated.get("quant_algo") or stated.get("format")
            return f"{method or 'a method that it does not name'} ({field} in config.json)"
    for pattern, method in _FILES.items():
        found = sorted(folder.glob(pattern))
        if found:
            return f"{method} ({found[0].name})"
    return None


def _stated(config: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """The setting, of the model or of its language model."""
    inner = config.get("text_config")
    stated = config.get(field) or (inner.get(field) if isinstance(inner, Mapping) else None)
    if stated is None or isinstance(stated, Mapping):
        return stated
    return {"quant_method": str(stated)}
