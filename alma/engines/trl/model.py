"""The model of a training: loaded whole or sharded, with an adapter or without, and written as inference reads it."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import is_flash_attn_2_available

from alma.engines.hf.model import load_model
from alma.engines.protocols import Training
from alma.engines.trl.loop import is_bfloat16
from alma.engines.ways import PROOF
from alma.errors import ConfigError
from alma.sections import Finetune

MAX_SHARD_SIZE = "5GB"

TOKENIZER_FILES = (
    "added_tokens.json",
    "additional_chat_templates",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""What a tokenizer may consist of besides its ``vocab_files_names``."""


def load(cfg: Finetune, training: Training) -> tuple[Any, Any]:
    """The tokenizer and the model that is trained, float32.

    While ``transformers.TrainingArguments`` for ZeRO-3 are alive, every process gets its shard of the weights only.
    """
    tokenizer, model = load_model(training.model, torch.float32)
    if torch.cuda.is_available() and is_bfloat16(cfg) and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")
    return tokenizer, adapted(cfg, model) if cfg.adapter else model


def adapted(cfg: Finetune, model: Any) -> Any:
    """The model, frozen, with a new adapter. Raises ``ConfigError`` where no layer has a wanted name."""
    from peft import LoraConfig, get_peft_model

    assert cfg.adapter is not None
    targets = cfg.adapter.targets
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=cfg.adapter.rank,
        lora_alpha=cfg.adapter.alpha,
        lora_dropout=cfg.adapter.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    torch.manual_seed(cfg.seed)  # the adapter begins at random
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise ConfigError(f"adapter.targets = {targets!r} does not fit {model.config.model_type}: {error}") from error


def save(cfg: Finetune, training: Training, trainer: Any, tokenizer: Any, config: Any, generation_config: Any) -> None:
    """Writes the folder as transformers does; the tokenizer's files are the start model's, byte for byte.

    All processes call it, and the first one writes. ``config`` and ``generation_config`` are those of the model that
    was brought: the trainers align them with the tokenizer.
    """
    model = trainer.model
    if cfg.parallel == "zero3":
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return
    if cfg.parallel == "zero3":
        unset_hf_deepspeed_config()  # else this model would be sharded too, with nobody else here
        _, model = load(cfg, training)
        model.load_state_dict(state)
    if cfg.adapter:
        model = model.merge_and_unload()
    model.config, model.generation_config = config, generation_config
    training.out.mkdir(parents=True, exist_ok=True)
    (model.to(torch.bfloat16) if is_bfloat16(cfg) else model).save_pretrained(
        training.out, max_shard_size=MAX_SHARD_SIZE
    )
    for name in {PROOF, *TOKENIZER_FILES, *tokenizer.vocab_files_names.values()}:
        path = training.model / name
        if path.is_dir():
            shutil.copytree(path, training.out / name, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copyfile(path, training.out / name)
