"""What all trainings share: steps, checkpoints, what is reported; transformers' ``Trainer`` runs the loop.

Axes: D devices, a process each.
"""

from __future__ import annotations

import math
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState

from alma.engines.checkpoints import publish, staging
from alma.engines.protocols import Training
from alma.engines.tokenization import IGNORED
from alma.engines.trl.batches import Batches, Steps
from alma.engines.trl.loading import safe_loading
from alma.engines.trl.reports import curve_row, speed_row
from alma.engines.trl.router import balance_of
from alma.engines.trl.start import prove
from alma.engines.trl.together import bring_together, check_alike
from alma.errors import StageError
from alma.nodes import Nodes
from alma.sections import Finetune


class Loop(Trainer):  # type: ignore[misc]
    """Mixed in before a trainer: whole checkpoints, tokens counted, nothing printed and nobody phoned.

    A step's rows are those of ``Steps``, and its loss is the mean over all of them (or over all their tokens), however
    they are shared by devices and forward passes.
    """

    mean_of_rows = True
    """Whether the trainer's own loss is the mean over the rows of one forward pass, and not over the step's tokens."""

    loss_is_scaled_for_ga = True  # by compute_loss

    settings: Finetune
    say: Callable[[str], None]
    """Hears what the model forces."""

    rows: Rows
    """The token rows that are read."""

    router_loss = 0.0
    """``Finetune.router_loss``."""

    def prepare(self, cfg: Finetune, say: Callable[[str], None]) -> None:
        """Says which rows are read where; the model is proven, and asked what is learnt from, before it learns.

        One that DeepSpeed holds, dealt out or in bfloat16, can be asked only by ``create_scheduler``.
        """
        args, self.settings, self.say = self.args, cfg, say
        self.rows = Rows(self._remove_unused_columns(self.train_dataset, "training"))
        micro_rows = args.per_device_train_batch_size
        self.steps = Steps(len(self.rows), cfg.batch_rows, micro_rows, args.world_size, args.process_index)
        if cfg.router_loss:
            self.add_router_loss(cfg.router_loss)
        if not self.is_deepspeed_enabled:
            self._ask()

    def _ask(self) -> None:
        prove(self, self.settings, self.say)
        self.read_reference()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Reads the rows of ``Steps``; accelerate, which would deal them out by itself, is left out of it."""
        args = self.args
        batches = Batches(self.steps, args.data_seed)
        return _Loader(
            self.rows, batch_sampler=batches, collate_fn=self.data_collator, pin_memory=args.dataloader_pin_memory
        )

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Where DeepSpeed holds the model, and a checkpoint's weights have not taken the place of its own yet."""
        if Nodes.here().count > 1:  # each has chosen a checkpoint and a micro-batch by itself: are they the same?
            check_alike(self.state.global_step, self.args.per_device_train_batch_size, self.args.device)
        if self.is_deepspeed_enabled:
            self._ask()
        return super().create_scheduler(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """One step's forward passes. The tokens of an idle one have no loss."""
        step = self.state.global_step % self.steps.num_steps
        self._passes = iter(self.steps.passes_of(step))
        self._rows = self.steps.rows_of(step)

        def marked() -> Iterator[Any]:
            for num_rows, batch in zip(self.steps.passes_of(step), epoch_iterator, strict=False):
                if not num_rows and "labels" in batch:
                    batch["labels"].fill_(IGNORED)
                yield batch

        return super().get_batch_samples(marked(), num_batches, device)

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The loss of one forward pass as its share of the step's loss; the devices' gradients are averaged."""
        loss: torch.Tensor = super().compute_loss(*args, **kwargs)
        share = self._num_rows * self.args.world_size / self._rows
        if self.mean_of_rows:
            loss = loss * share
        if self.router_loss:
            self._router = self.router_loss * self._balance * share
            self._router_of_step += float(self._router.detach()) / self.args.world_size
            loss = loss + self._router
        return loss

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Counts the tokens, padding left out."""
        self._num_rows = next(self._passes)
        if self._num_rows:
            mask = inputs.get("attention_mask")
            self._tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        loss = super().training_step(model, inputs, *args, **kwargs)
        return loss - self._router.detach() if self.router_loss else loss  # reported apart

    def add_router_loss(self, router_loss: float) -> None:
        """Adds the balance loss of the model's routers, by this coefficient, to what is learnt."""
        self.router_loss, self._router_of_step = router_loss, 0.0

        def keep(_: Any, __: Any, outputs: Any) -> None:
            self._balance = balance_of(outputs)

        self.model.register_forward_hook(keep)

    def read_reference(self) -> None:
        """What an objective asks of the model, as it is trained, before it learns anything; nothing, but for DPO."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Starts the clock."""
        self._tokens, self._since = 0, time.monotonic()
        return super().train(*args, **kwargs)

    def synchronise(self, stopping: bool) -> bool:
        """Gathers what the devices did in this step; whether any of them was asked to stop, so that all do."""
        mine = torch.tensor([[self._tokens, memory_bytes(), stopping]], device=self.args.device, dtype=torch.int64)
        each_D = self.accelerator.gather(mine)
        self._tokens, seconds = 0, time.monotonic() - self._since
        self._since += seconds
        tokens = int(each_D[:, 0].sum())
        self._measured = {
            "tokens": tokens,
            "seconds": round(seconds, 4),
            "tokens_per_second": round(tokens / seconds, 1),
            "memory_bytes": int(each_D[:, 1].max()),
            "num_devices": self.args.world_size,
            "micro_batch_rows": self.args.per_device_train_batch_size,
            "joined": int(getattr(self.args, "padding_free", False)),  # of SFT alone
        }
        if self.router_loss:
            router = torch.tensor([self._router_of_step], device=self.args.device)
            self._measured["router_loss"] = float(self.accelerator.gather(router).sum())
            self._router_of_step = 0.0
        return bool(each_D[:, 2].any())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what ``synchronise`` gathered."""
        if "loss" in logs:
            logs.update(self._measured)
        super().log(logs, start_time)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes none: TRL would put one into every checkpoint."""

    def _send_telemetry(self) -> None:
        """Sends none: TRL would tell its makers of every training."""

    def _get_output_dir(self, trial: Any) -> str:
        del trial
        return str(staging(Path(self.args.output_dir)))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with warnings.catch_warnings():
            # An adapter on the embeddings or the output layer: their own weights are kept with it.
            warnings.filterwarnings("ignore", "Setting `save_embedding_layers` to `True`")
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # each writes its shard
        if Nodes.here().count > 1:
            bring_together(staging(Path(self.args.output_dir)), self.args.device)
        if self.is_world_process_zero():
            publish(Path(self.args.output_dir), f"checkpoint-{self.state.global_step}")


class Rows(Dataset[Any]):  # type: ignore[misc]
    """The token rows of a training, to which columns may come after their loader was made."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row: dict[str, Any] = self.table[place]
        return row


class _Loader(DataLoader[Any]):  # type: ignore[misc]
    def set_epoch(self, epoch: int) -> None:
        """Hands the epoch on; transformers sets it."""
        assert isinstance(self.batch_sampler, Batches)
        self.batch_sampler.set_epoch(epoch)


class Listener(TrainerCallback):  # type: ignore[misc]
    """Tells ``training`` of every step and ends the loop when it is asked to stop."""

    def __init__(self, loop: Loop, training: Training, saved: Callable[[int], None]) -> None:
        self._loop, self._training, self._saved = loop, training, saved

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """At the last step no checkpoint is needed: the model itself comes next."""
        del args
        stopping = self._loop.synchronise(self._training.stopping())
        if state.global_step >= state.max_steps:
            control.should_save = False
        elif stopping:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A whole checkpoint is on this machine."""
        del args, control
        if state.is_world_process_zero:
            self._saved(state.global_step)

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
        if state.is_world_process_zero:
            self._training.on_step(state.global_step, state.max_steps, curve_row(logs) | speed_row(logs))


def memory_bytes() -> int:
    """The most memory that this process has held so far: of its GPU, or on a CPU its resident set."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def run(
    trainer: Any, cfg: Finetune, training: Training, checkpoint: Path | None, saved: Callable[[int], None]
) -> list[dict[str, float]]:
    """Trains, from ``checkpoint`` if there is one; the log of every step, earlier attempts' too.

    It is shorter than the training if that was asked to stop; then a checkpoint was written. ``saved`` hears of each.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Listener(trainer, training, saved))
    trainer.prepare(cfg, training.remote.say)
    with safe_loading():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return [logs for logs in trainer.state.log_history if "loss" in logs]
