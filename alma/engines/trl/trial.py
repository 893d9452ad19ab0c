"""A training from its rows to its model: the devices chosen, the micro-batch found by trial, the reports written."""

from __future__ import annotations

import gc
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from alma.artifact.shard import ShardDone
from alma.engines.checkpoints import check_layout, keep_newest, newest_whole
from alma.engines.protocols import Training
from alma.engines.trl.attempt import Outcome, attempt, is_out_of_memory
from alma.engines.trl.devices import Devices, is_padding_free
from alma.engines.trl.launch import OutOfMemory, launch
from alma.engines.trl.objective import load_objective
from alma.engines.trl.reports import curve_row, speed_row
from alma.engines.trl.rows import tokenize
from alma.engines.ways import ways_of
from alma.errors import ConfigError, Stopped, TransientError
from alma.nodes import Nodes
from alma.objectives import OBJECTIVES
from alma.sections import Finetune

SPEED_FILE = "speed.jsonl"
"""In ``Training.scratch``: how each step went. No two runs agree on it, so it is no part of the model's folder."""


def train(cfg: Finetune, training: Training) -> dict[str, float | int]:
    """``alma.engines.trl.train.TrlTrainer.train``; on all machines but the first it ends with ``ShardDone``."""
    devices = Devices.of(cfg)
    cfg = safe(cfg, training)
    data = tokenize(cfg, training)
    rows_each = math.ceil(min(cfg.batch_rows, len(data.rows)) / devices.total)
    most_rows = training.remote.most_rows() if devices.num_nodes > 1 else None
    if most_rows and most_rows < min(cfg.micro_batch_rows, rows_each):
        training.remote.say(f"goes on with micro_batch_rows = {most_rows}: a machine had too little memory for more")
        rows_each = most_rows
    decided = cfg.model_copy(
        update={
            "num_devices": devices.num_devices,
            "parallel": devices.parallel,
            "micro_batch_rows": min(cfg.micro_batch_rows, rows_each),
        }
    )
    outcome = _by_trial(decided, devices, training, Dataset.from_list(data.rows))
    curve = [{"step": logs["step"], **curve_row(logs)} for logs in outcome.logs]
    _write(training.scratch / SPEED_FILE, [{"step": logs["step"], **speed_row(logs)} for logs in outcome.logs])
    if len(curve) < outcome.num_steps:
        missing = training.remote.flush()
        but = f", and did not reach the store: {missing}" if missing else ""
        raise Stopped(
            f"stopped as asked at step {len(curve)} of {outcome.num_steps}; "
            f"its checkpoint is in {training.scratch}{but}"
        )
    if Nodes.here().helps:
        raise ShardDone(len(data.rows))  # the first machine has written the model
    _write(training.out / "curve.jsonl", curve)
    return {
        "num_rows": len(data.rows),
        "num_steps": len(curve),
        "num_tokens": int(sum(row["tokens"] for row in curve)),
        "num_too_long": data.num_too_long,
        "num_unaligned": data.num_unaligned,
        "first_loss": curve[0]["loss"],
        "last_loss": curve[-1]["loss"],
    }


def safe(cfg: Finetune, training: Training) -> Finetune:
    """The settings, without what is not safe with the model (``alma.engines.ways``); it is said what is left off.

    Raises ``ConfigError`` for an objective that needs it.
    """
    if fault := OBJECTIVES[cfg.objective].fault(cfg):
        raise ConfigError(fault)
    ways, objective = ways_of(training.model), load_objective(cfg.objective)
    packing = cfg.packing and objective.joins_rows
    padded = ways.left if objective.padding == "left" else ways.right
    if not padded and OBJECTIVES[cfg.objective].num_sequences > 1:
        raise ConfigError(
            f"objective = '{cfg.objective}' reads chosen and rejected responses side by side, and the model in "
            f"{training.model} reads only one row at a time rightly; set objective = 'sft', or start from another model"
        )
    update: dict[str, Any] = {}
    if packing and not ways.packed:
        update["packing"] = False
        training.remote.say("rows are padded, not joined: joined, the rows of this model would see one another")
    elif packing and cfg.micro_batch_rows > 1 and not is_padding_free():
        update["packing"] = False
        training.remote.say(
            "rows are padded, not joined, whatever packing says: joined on a GPU they need flash attention, which is "
            "not installed (pip install flash-attn). The losses are the same, the padding costs time"
        )
    if not padded and cfg.micro_batch_rows > 1:
        update["micro_batch_rows"] = 1
        training.remote.say("one row per forward pass: padding changes what this model says of a row")
    return cfg.model_copy(update=update)


def _by_trial(cfg: Finetune, devices: Devices, training: Training, rows: Dataset) -> Outcome:
    """Trains; where a device has too little memory, again with half the micro-batch, from the newest checkpoint.

    On several machines it is left in the store, and all of them begin again: raises ``TransientError``.
    """
    saved = partial(_saved, training)
    while True:
        checkpoint = newest_whole(training.scratch, training.remote)
        if checkpoint:
            check_layout(checkpoint, devices.parallel, devices.total)
        try:
            if devices.in_one_process:
                return attempt(cfg, training, rows, checkpoint, saved)
            return launch(cfg, training, rows, checkpoint, saved)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not isinstance(error, OutOfMemory) and not is_out_of_memory(error):
                raise
            problem = str(error).partition("\n")[0] or type(error).__name__
        # Outside of the handler, whose error holds on to the model.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        tried, cfg = cfg, _halved(cfg, problem)
        if devices.num_nodes > 1:
            training.remote.set_most_rows(cfg.micro_batch_rows)
            raise TransientError(
                f"out of memory with micro_batch_rows = {tried.micro_batch_rows} ({problem}); begun again, all "
                f"machines of the training go on with {cfg.micro_batch_rows}"
            )
        training.remote.say(f"out of memory: goes on with micro_batch_rows = {cfg.micro_batch_rows} ({problem})")


def _halved(cfg: Finetune, problem: str) -> Finetune:
    """Half the micro-batch. Raises ``ConfigError`` where that is less than a row."""
    if cfg.micro_batch_rows == 1:
        raise ConfigError(
            f"one row of at most max_tokens = {cfg.max_tokens} tokens does not fit into the memory of each of "
            f"{cfg.num_devices} devices with parallel = '{cfg.parallel}' ({problem}); lower max_tokens, raise "
            "num_devices with parallel = 'zero3', set activation_checkpointing = true, or train an adapter"
        )
    return cfg.model_copy(update={"micro_batch_rows": cfg.micro_batch_rows // 2})


def _saved(training: Training, step: int) -> None:
    """A whole checkpoint is on this machine: it goes on its way, and older ones go."""
    training.remote.send(step, training.scratch / f"checkpoint-{step}")
    keep_newest(training.scratch, training.remote.sending)


def _write(path: Path, rows: list[dict[str, float]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
