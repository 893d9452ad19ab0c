"""What the files of a model's folder say before any weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from alma.errors import DataError
from alma.regular import CONFIG_BYTES, parse, read_regular
from alma.sizes import size_faults


def text_config(model: Path) -> Any:
    """The configuration of a folder's language model. Raises ``DataError`` where there is none."""
    from transformers import PreTrainedConfig

    config = whole_config(model)
    try:
        found = config.get_text_config()
    except Exception as error:  # each config checks itself in its own way
        raise _unknown(model, error) from error
    if not isinstance(found, PreTrainedConfig):  # an architecture without models within it leaves it as it stands
        raise DataError(f"{model}/config.json: {str(found)[:60]} is no config of a model within it; take it out")
    return found


def whole_config(model: Path) -> Any:
    """The configuration of a folder's model, with those of the models within it. Raises as ``text_config``."""
    from transformers import AutoConfig

    if not (model / "config.json").is_file():
        raise DataError(f"{model} holds no config.json; a model is a folder as Hugging Face lays it out")
    check_sizes(model)
    try:
        return AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise _unknown(model, error) from error


def _unknown(model: Path, error: Exception) -> DataError:
    return DataError(f"{model}/config.json is of no model that transformers knows: {error}")


def check_sizes(model: Path) -> None:
    """Raises ``DataError`` where config.json states what its weights cannot be; before a library builds by it.

    A folder without weights has nothing to be compared: it is a copy, or a tokenizer alone.
    """
    path = model / "config.json"
    config = parse(read_regular(path, CONFIG_BYTES), str(path)) if path.is_file() else {}
    if not isinstance(config, dict):
        raise DataError(f"{path} holds no object; fetch it again")
    faults = size_faults(config, weight_shapes(model)) if any(model.glob("*.safetensors")) else []
    if faults:
        raise DataError("\n".join(f"{model}: {fault}" for fault in faults))


def weight_shapes(model: Path) -> dict[str, list[int]]:
    """Name → shape of every weight in a folder's safetensors, from their headers. Raises ``DataError``.

    Files named ``consolidated…`` hold the same weights in another layout, and no library of ours reads them.
    """
    shapes: dict[str, list[int]] = {}
    for path in sorted(each for each in model.glob("*.safetensors") if not each.name.startswith("consolidated")):
        try:
            with safe_open(path, framework="numpy") as file:
                shapes |= {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path} is no whole safetensors file: {error}") from error
    if not shapes:
        raise DataError(f"{model} holds no weights as safetensors")
    return shapes
