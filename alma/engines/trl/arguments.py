"""The settings of a training in transformers' words."""

from __future__ import annotations

import math
from typing import Any

import torch

from alma.engines.protocols import Training
from alma.engines.trl.batches import Steps
from alma.engines.trl.devices import Devices
from alma.sections import Finetune


def is_bfloat16(cfg: Finetune) -> bool:
    """Whether the forward and backward passes run in bfloat16. Weights and optimizer are float32 in any case."""
    return torch.cuda.is_available() if cfg.dtype == "auto" else cfg.dtype == "bfloat16"


def arguments(cfg: Finetune, training: Training, num_rows: int) -> dict[str, Any]:
    """Keywords of ``transformers.TrainingArguments`` for ``cfg``, in each of the processes that train together."""
    cuda = torch.cuda.is_available()
    devices = Devices.of(cfg)
    steps = Steps(num_rows, cfg.batch_rows, cfg.micro_batch_rows, devices.total)
    return {
        "output_dir": str(training.scratch),
        "per_device_train_batch_size": cfg.micro_batch_rows,
        "gradient_accumulation_steps": steps.num_passes,
        "num_train_epochs": cfg.epochs,
        "learning_rate": cfg.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": int(cfg.warmup_share * math.ceil(cfg.epochs * steps.num_steps)),
        "optim": "adamw_torch_fused",
        "adam_beta1": cfg.adam_betas[0],
        "adam_beta2": cfg.adam_betas[1],
        "weight_decay": cfg.weight_decay,
        "max_grad_norm": 1.0,
        "seed": cfg.seed,
        "data_seed": cfg.seed,
        "use_cpu": not cuda,
        "bf16": is_bfloat16(cfg),
        # Trades a third more arithmetic for most of the activations' memory: what a GPU is short of and a CPU is not.
        "gradient_checkpointing": cuda if cfg.activation_checkpointing is None else cfg.activation_checkpointing,
        "use_liger_kernel": devices.liger,
        "deepspeed": devices.deepspeed,
        "dataloader_pin_memory": cuda,
        "save_steps": cfg.checkpoint_steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show the mean of earlier losses in place of a NaN
        "report_to": "none",
        "disable_tqdm": True,
    }
