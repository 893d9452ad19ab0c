"""One attempt at a training, in one process or as one of several: load, train, write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset
from transformers import TrainingArguments
from transformers.utils import logging

from alma.engines.protocols import Training
from alma.engines.trl.arguments import arguments
from alma.engines.trl.head import choose_head, output_adapter_hidden
from alma.engines.trl.loop import run
from alma.engines.trl.model import load
from alma.engines.trl.objective import load_objective
from alma.engines.trl.save import rehearse, save
from alma.engines.trl.start import base_model
from alma.sections import Finetune


@dataclass(frozen=True)
class Outcome:
    """The log of every step, earlier attempts' too, and how many steps there are to make: fewer logs mean stopped."""

    logs: list[dict[str, float]]
    num_steps: int


def attempt(
    cfg: Finetune, training: Training, rows: Dataset, checkpoint: Path | None, saved: Callable[[int], None]
) -> Outcome:
    """Trains on token rows, from ``checkpoint`` if there is one, to the end or until it is asked to stop.

    All of ``cfg`` is decided: devices, how they share, rows of a forward pass. ``saved`` hears of every checkpoint that
    is whole in ``training.scratch``. A device that has too little memory shows as an error for which
    ``is_out_of_memory`` holds.
    """
    with _quiet():
        sharding = _sharding(cfg, training, rows) if cfg.parallel == "zero3" else None
        loaded = load(cfg, training, training.remote.say)
        rehearse(training, loaded)
        objective = load_objective(cfg.objective)
        with output_adapter_hidden(loaded.model):
            trainer = objective.trainer(cfg, training, loaded.model, loaded.tokenizer, rows)
        del sharding
        if objective.reads_tokens:
            choose_head(base_model(trainer.model))
        logs = run(trainer, cfg, training, checkpoint, saved)
        outcome = Outcome(logs, trainer.state.max_steps)
        if trainer.state.global_step == outcome.num_steps:
            save(cfg, training, trainer, loaded)
        return outcome


def _sharding(cfg: Finetune, training: Training, rows: Dataset) -> TrainingArguments:
    """While this is alive, transformers gives each process its shard of every weight that it loads."""
    import deepspeed

    args = TrainingArguments(**arguments(cfg, training, len(rows)))
    deepspeed.init_distributed("gloo" if args.use_cpu else "nccl", auto_mpi_discovery=False)  # else it sees one process
    return args


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or this process, had too little memory for what it was to do."""
    if isinstance(error, RuntimeError) and "annot allocate memory" in str(error):
        return True  # the weights' file could not be mapped
    return isinstance(error, MemoryError) or (isinstance(error, Exception) and should_reduce_batch_size(error))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers' remarks (aligned special tokens, a bar while weights load) off the terminal."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
