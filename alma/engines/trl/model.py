"""The model of a training, as it is loaded: whole or sharded, without randomness, with an adapter or without."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.utils import is_flash_attn_2_available

from alma.engines.hf.model import load_model
from alma.engines.protocols import Training
from alma.engines.trl.adapter import adapted
from alma.engines.trl.arguments import is_bfloat16
from alma.engines.trl.randomness import without_randomness
from alma.engines.trl.router import without_own_loss
from alma.sections import Finetune


@dataclass(frozen=True)
class Loaded:
    """What is trained. ``config`` is what is written with it: the brought model's, with what the training changes."""

    tokenizer: Any
    model: Any
    config: Any


def load(cfg: Finetune, training: Training, say: Callable[[str], None] = lambda _: None) -> Loaded:
    """The tokenizer and the model that is trained, float32; ``say`` hears what the model's make forces.

    While ``transformers.TrainingArguments`` for ZeRO-3 are alive, every process gets its shard of the weights only.
    """
    tokenizer, model = load_model(training.model, torch.float32)
    config = copy.deepcopy(model.config)
    if torch.cuda.is_available() and is_bfloat16(cfg) and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")
    # The brought one is copied as it is: transformers does not write back all that it reads.
    model.generation_config = GenerationConfig()
    without_own_loss(model)
    if not cfg.dropout:
        without_randomness(model)
    if cfg.adapter:
        base, model = model, adapted(cfg, model, say)
        for theirs, ours in ((config, base.config), (config.get_text_config(), base.config.get_text_config())):
            if hasattr(ours, "tie_word_embeddings"):
                theirs.tie_word_embeddings = ours.tie_word_embeddings
    return Loaded(tokenizer, model, config)
