"""What the three trainings share: arguments, checkpoints, reports; transformers' ``Trainer`` runs the loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState

from alma.engines import Training
from alma.engines.checkpoints import keep_newest, newest_whole, publish, staging
from alma.errors import ConfigError, StageError, Stopped
from alma.sections import Finetune

CURVE = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "tokens": "tokens",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
}
"""transformers' and TRL's names of what a step reports → ours; the last two of DPO only."""


def is_bfloat16(cfg: Finetune) -> bool:
    """Whether the forward and backward passes run in bfloat16. Weights and optimizer are float32 in any case."""
    return torch.cuda.is_available() if cfg.dtype == "auto" else cfg.dtype == "bfloat16"


def arguments(cfg: Finetune, training: Training, num_rows: int) -> dict[str, Any]:
    """Keywords of ``transformers.TrainingArguments`` for ``cfg``.

    A step has ``batch_rows`` rows (the last one of an epoch what is left), ``micro_batch_rows`` at a time.
    """
    cuda = torch.cuda.is_available()
    if torch.cuda.device_count() > 1:
        raise ConfigError(
            f"{torch.cuda.device_count()} GPUs are visible and trainer = 'trl' uses one; set CUDA_VISIBLE_DEVICES"
        )
    micro_rows = min(cfg.micro_batch_rows, cfg.batch_rows)
    accumulation = cfg.batch_rows // micro_rows
    num_steps = math.ceil(cfg.epochs * math.ceil(math.ceil(num_rows / micro_rows) / accumulation))
    return {
        "output_dir": str(training.scratch),
        "per_device_train_batch_size": micro_rows,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": cfg.epochs,
        "learning_rate": cfg.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": int(cfg.warmup_share * num_steps),
        "optim": "adamw_torch_fused",
        "weight_decay": cfg.weight_decay,
        "max_grad_norm": 1.0,
        "seed": cfg.seed,
        "data_seed": cfg.seed,
        "use_cpu": not cuda,
        "bf16": is_bfloat16(cfg),
        # Trades a third more arithmetic for most of the activations' memory: what a GPU is short of and a CPU is not.
        "gradient_checkpointing": cuda,
        "dataloader_pin_memory": cuda,
        "save_steps": cfg.checkpoint_steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would show the mean of earlier losses in place of a NaN
        "report_to": "none",
        "disable_tqdm": True,
    }


class Loop(Trainer):  # type: ignore[misc]
    """Mixed in before a trainer: whole checkpoints, tokens counted, nothing printed and nobody phoned."""

    _tokens = 0

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes none: TRL would put one into every checkpoint."""

    def _send_telemetry(self) -> None:
        """Sends none: TRL would tell its makers of every training."""

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Counts the tokens, padding left out."""
        mask = inputs.get("attention_mask")
        self._tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        return super().training_step(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds ``tokens``, those of this step."""
        if "loss" in logs:
            logs["tokens"], self._tokens = self._tokens, 0
        super().log(logs, start_time)

    def _get_output_dir(self, trial: Any) -> str:
        del trial
        return str(staging(Path(self.args.output_dir)))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        publish(Path(self.args.output_dir), f"checkpoint-{self.state.global_step}")


class Listener(TrainerCallback):  # type: ignore[misc]
    """Tells ``training`` of every step and ends the loop when it is asked to stop."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """At the last step no checkpoint is needed: the model itself comes next."""
        del args
        if state.global_step >= state.max_steps:
            control.should_save = False
        elif self.training.stopping():
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A whole checkpoint is on this machine: it goes on its way, and older ones go."""
        del args, control
        scratch, remote = self.training.scratch, self.training.remote
        remote.send(state.global_step, scratch / f"checkpoint-{state.global_step}")
        keep_newest(scratch, remote.sending)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any) -> None:
        """Reports the step. Raises ``StageError`` if its loss is not a finite number."""
        del control
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise StageError(
                f"the loss of step {state.global_step} is {logs['loss']} at learning_rate = {args.learning_rate}; "
                "lower learning_rate or raise warmup_share"
            )
        self.training.on_step(state.global_step, state.max_steps, curve_row(logs))


def curve_row(logs: dict[str, float]) -> dict[str, float]:
    """What a step reports, under our names."""
    return {ours: logs[theirs] for theirs, ours in CURVE.items() if theirs in logs}


def run(trainer: Any, training: Training) -> list[dict[str, float]]:
    """Trains, from the newest whole checkpoint if there is one; returns the rows of the curve, earlier attempts' too.

    Raises ``Stopped``, with a checkpoint written and sent, if ``training`` is asked to stop.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Listener(training))
    checkpoint = newest_whole(training.scratch, training.remote)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    step, steps = trainer.state.global_step, trainer.state.max_steps
    if step < steps:
        missing = training.remote.flush()
        but = f", and did not reach the store: {missing}" if missing else ""
        raise Stopped(f"stopped as asked at step {step} of {steps}; its checkpoint is in {training.scratch}{but}")
    return [{"step": logs["step"], **curve_row(logs)} for logs in trainer.state.log_history if "loss" in logs]
