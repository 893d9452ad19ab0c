"""How large a model its config.json describes, counted before any of it is allocated."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from alma.engines.hf.left_over import check_left_over, unexpected_of
from alma.engines.model_folder import check_sizes, weight_shapes, whole_config
from alma.errors import DataError

MOST_TIMES, FLOOR = 2, 2**28
"""A config may describe this many times the numbers of its weights, and this many beside: tied weights are stored once,
tables of positions and masks not at all. [ours]"""

_SAID = ("hidden_size", "n_embd", "d_model", "intermediate_size", "num_hidden_layers", "n_layer", "num_attention_heads")
"""The settings that a message names."""


def check_language_model(folder: Path) -> None:
    """``check_described`` of a causal language model, and ``check_left_over``, without a look at its weights."""
    model = check_described(AutoModelForCausalLM, folder)
    if model is None:
        return
    try:
        unexpected = unexpected_of(model, weight_shapes(folder))
    except Exception:  # noqa: BLE001 - as below
        return
    check_left_over(model, unexpected, folder)


def check_described(auto: Any, folder: Path) -> Any:
    """Raises ``DataError`` where what ``auto`` (a class of transformers) makes of config.json is not what is stored.

    transformers fills what does not fit its weights with random numbers, whatever memory they take. Weights that cannot
    be read, and a config that it cannot build, are left to who loads them: ``None``, in the place of the model without
    weights.
    """
    if is_deepspeed_zero3_enabled():  # what is built then is sharded at once, and was looked at when it was taken in
        return None
    try:
        shapes = weight_shapes(folder)
    except DataError:
        return None
    check_sizes(folder)
    try:
        config = whole_config(folder)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = auto.from_config(config, trust_remote_code=False)
    except Exception:  # noqa: BLE001 - each architecture checks its config in its own way
        return None
    described = sum(each.numel() for each in (*model.parameters(), *model.buffers()))
    stored = sum(map(math.prod, shapes.values()))
    if described > MOST_TIMES * stored + FLOOR:
        text = config.get_text_config()
        sizes = ", ".join(f"{name} = {value}" for name in _SAID if (value := getattr(text, name, None)) is not None)
        raise DataError(
            f"{folder}: config.json describes {described:,} numbers ({sizes}), and its weights are {stored:,}; fetch "
            "the model again, or bring the config.json that goes with them"
        )
    return model
