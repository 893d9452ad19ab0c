"""The trained model, written as inference reads it, and shown to be the one that was trained."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import torch
from transformers import AutoConfig
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.modeling_utils import remove_tied_weights_from_state_dict

from alma.engines.hf.model import load_model
from alma.engines.model_folder import weight_shapes
from alma.engines.protocols import Training
from alma.engines.trl.arguments import is_bfloat16
from alma.engines.trl.model import Loaded, load
from alma.engines.trl.start import TOLERANCE, answers, base_model, differ, is_dealt_out, is_exact, short_text
from alma.engines.ways import PROOF
from alma.errors import AccessError, DataError, StageError
from alma.sections import Finetune
from alma.store.files import copy_folder

MAX_SHARD_SIZE = "5GB"

COPIED = ("generation_config.json",)
"""Files of the start model that a training changes nothing of, besides its tokenizer's."""

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

MAX_READ_AGAIN = 500_000_000
"""Numbers of a model up to which it is loaded once more when it is written, and asked: seconds, and at most 2 GB of
memory. Of a larger one the names and shapes in its files are compared."""


def rehearse(training: Training, loaded: Loaded) -> None:
    """Tries before the first step what else would fail at the last: a folder to write to, the config, shared weights.

    Raises ``DataError`` for a model that cannot be written back, ``AccessError`` for a folder that cannot be written.
    """
    training.out.mkdir(parents=True, exist_ok=True)
    if not os.access(training.out, os.W_OK):
        raise AccessError(f"this user may not write into {training.out}, where the trained model is to lie")
    training.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=training.scratch, prefix="rehearsal-") as folder:
        try:
            loaded.config.save_pretrained(folder)
            AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers raises what it likes: ValueError, TypeError, errors of its own
            raise DataError(
                f"{training.model}/config.json can be read and not written back, so no training could end: {error}; "
                "mend it there, and ingest the model again"
            ) from error
    base = base_model(loaded.model)
    state = {name: weight for name, weight in base.state_dict().items() if "lora_" not in name}
    if is_dealt_out(base):
        return  # ZeRO-3's shards are all empty, and so have one place in memory
    try:
        remove_tied_weights_from_state_dict(state, base)
    except RuntimeError as error:
        raise DataError(
            f"{training.model}: weights of {loaded.config.model_type} that share memory cannot be written as "
            f"safetensors: {error}"
        ) from error


def save(cfg: Finetune, training: Training, trainer: Any, loaded: Loaded) -> None:
    """Writes the folder as transformers does; the tokenizer's files and the generation config are the start model's.

    All processes call it, and the first one writes. Raises ``StageError`` where the model that is written, merged with
    its adapter, answers otherwise than the one that was trained.
    """
    ids = short_text(trainer.train_dataset)
    model = trainer.model
    if cfg.parallel == "zero3":
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return
    if cfg.parallel == "zero3":
        unset_hf_deepspeed_config()  # else this model would be sharded too, with nobody else here
        model = load(cfg, training).model
        model.load_state_dict(state)
    if cfg.adapter:
        # The adapter is in the base model's layers, and around it what computes in bfloat16.
        exact, trained = is_exact(model), answers(base_model(model), ids, training=False)
        model = model.merge_and_unload()
        difference = differ(answers(model, ids, training=False), trained, exact)
        if not difference <= TOLERANCE[exact]:
            raise StageError(
                f"{loaded.config.model_type}: the model merged with its adapter answers otherwise than the one that "
                f"was trained, by {difference:.2g} of its logits: adapter.targets = {cfg.adapter.targets!r} cannot be "
                "merged; name other layers, or leave the adapter out"
            )
    model = model.to(torch.bfloat16) if is_bfloat16(cfg) else model
    _write(training, model, loaded)
    _compare(training, model, ids)


def _write(training: Training, model: Any, loaded: Loaded) -> None:
    model.config = loaded.config
    training.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(training.out, max_shard_size=MAX_SHARD_SIZE)
    for name in {PROOF, *COPIED, *TOKENIZER_FILES, *loaded.tokenizer.vocab_files_names.values()}:
        path, written = training.model / name, training.out / name
        if path.is_dir():
            copy_folder(path, written)
        elif path.is_file():
            shutil.copyfile(path, written)
        else:
            written.unlink(missing_ok=True)


def _compare(training: Training, model: Any, ids: list[int]) -> None:
    """Raises ``StageError`` where what was written is read as another model than ``model``, which was written."""
    kind = model.config.model_type
    if model.num_parameters() > MAX_READ_AGAIN:
        written, wanted = weight_shapes(training.out), weight_shapes(training.model)
        ends = {"lm_head.weight"}  # tied layers that have been parted are two
        lost = sorted(name for name, shape in wanted.items() if written.get(name) != shape and name not in ends)
        if lost:
            raise StageError(f"{kind}: {len(lost)} weights were not written as they were read, {lost[0]} is the first")
        return
    try:
        again = load_model(training.out, model.dtype)[1].to(model.device)
        again.set_attn_implementation(model.config._attn_implementation)
        read, wrote = (answers(each, ids, training=False) for each in (again, model))
    except torch.cuda.OutOfMemoryError:
        training.remote.say("what was written is not read again: there is no memory for it beside the training")
        return
    weights = again.state_dict()
    others = [name for name, weight in model.state_dict().items() if not _same(weight, weights.get(name))]
    exact = is_exact(model)
    difference = differ(read, wrote, exact)
    if others or not difference <= TOLERANCE[exact]:
        raise StageError(
            f"{kind}: the model that was written answers otherwise than the one that was trained, by "
            f"{difference:.2g} of its logits ({len(others)} of its weights are others); this "
            f"version of transformers does not write {kind} back as it reads it"
        )


def _same(weight: Any, other: Any) -> bool:
    return other is not None and torch.equal(weight, other)
