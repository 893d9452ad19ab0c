"""Whether one engine can take other checkpoints' weights; read off the files, before any weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.engines.model_folder import text_config, weight_shapes
from alma.engines.tokenizer import load_tokenizer
from alma.errors import DataError

_NOT_ARCHITECTURE = {
    "_name_or_path",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "pad_token_id",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
"""Keys of ``config.json`` in which checkpoints of one model may differ: who wrote them, and what we read ourselves."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")


def check_pool(models: Sequence[Path]) -> None:
    """Raises ``DataError`` unless one engine can serve all of these models, each in its turn."""
    for model in models:
        text_config(model)
        load_tokenizer(model)
    for model in models[1:]:
        can_swap(models[0], model)


def can_swap(present: Path, wanted: Path) -> bool:
    """Raises ``DataError`` unless an engine that holds model ``present`` can hold ``wanted`` instead.

    Their configurations agree but for names, dtype and token ids; their tokenizers are the same, byte for byte; and
    ``wanted`` has every weight of ``present``, in its shape. False where only a fresh engine can: an output layer that
    is tied to the embeddings is one layer or two to vLLM, as the files had it at the start.
    """
    ours, theirs = _architecture(present), _architecture(wanted)
    differ = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if differ:
        key = differ[0]
        raise _refusal(
            present, wanted, f"{key} is {ours.get(key)!r} and {theirs.get(key)!r}, and {len(differ) - 1} more differ"
        )
    for name in _TOKENIZER_FILES:
        if _bytes(present / name) != _bytes(wanted / name):
            raise _refusal(present, wanted, f"{name} differs")
    before, after = weight_shapes(present), weight_shapes(wanted)
    same_head = True
    if ours.get("tie_word_embeddings"):
        same_head = before.pop("lm_head.weight", None) == after.pop("lm_head.weight", None)
    unfit = sorted(name for name, shape in before.items() if after.get(name) != shape)
    if unfit:
        raise _refusal(
            present, wanted, f"{unfit[0]} is {before[unfit[0]]} and {after.get(unfit[0])}, of {len(unfit)} such weights"
        )
    return same_head


def _architecture(model: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key not in _NOT_ARCHITECTURE}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _refusal(present: Path, wanted: Path, fault: str) -> DataError:
    return DataError(
        f"one vLLM engine cannot serve {present} and {wanted} in turn: {fault}; a pool holds checkpoints of one model. "
        "Sample them in runs of their own, or with engine = 'hf'"
    )
