"""What the files of a model's folder say before any weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from alma.errors import DataError
from alma.regular import DOCUMENT_BYTES, check_regular


def text_config(model: Path) -> Any:
    """The configuration of a folder's language model. Raises ``DataError`` where there is none."""
    from transformers import AutoConfig

    if not (model / "config.json").is_file():
        raise DataError(f"{model} holds no config.json; a model is a folder as Hugging Face lays it out")
    check_regular(model / "config.json", DOCUMENT_BYTES)
    try:
        config = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
        return config.get_text_config()
    except Exception as error:  # each config checks itself in its own way
        raise DataError(f"{model}/config.json is of no model that transformers knows: {error}") from error


def weight_shapes(model: Path) -> dict[str, list[int]]:
    """Name → shape of every weight in a folder's safetensors, from their headers. Raises ``DataError``."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(model.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                shapes |= {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path} is no whole safetensors file: {error}") from error
    if not shapes:
        raise DataError(f"{model} holds no weights as safetensors")
    return shapes
