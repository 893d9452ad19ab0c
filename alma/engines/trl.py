"""Training with TRL and transformers: ``TrlTrainer``.

Not covered: several devices, adapters, quantized weights.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import torch
from transformers.utils import logging

from alma.engines import Training
from alma.engines.chat import stop_ids
from alma.engines.hf_model import load_model
from alma.engines.rating import RatingTokens
from alma.engines.tokenization import Tokenized, TokenRow, dpo_rows, highest_id, judge_rows, keep, sft_rows
from alma.engines.trl_loop import is_bfloat16, run
from alma.errors import DataError
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


class TrlTrainer:
    """``alma.engines.Trainer``: SFT and DPO by TRL, the judge by transformers' ``Trainer``.

    Weights and optimizer are float32, the arithmetic is ``cfg.dtype``; the model is written in the arithmetic's type,
    in which inference would read it. One configuration on one machine gives the same bytes, killed and resumed or not,
    on a CPU with one number of threads (a GPU's attention adds up in no fixed order).
    """

    def train(self, cfg: Finetune, training: Training) -> dict[str, float | int]:
        """See ``alma.engines.Trainer``. ``num_unaligned`` counts the rows that ``render_turns`` gives up.

        Raises ``DataError`` for a model that cannot be trained or asked so, ``StageError`` if too many rows are set
        aside or the loss is no longer finite, ``Stopped``.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns when a data loader forks
        with _quiet():
            tokenizer, model = load_model(training.model, torch.float32)
            config, generation_config = copy.deepcopy(model.config), copy.deepcopy(model.generation_config)
            trainer, data = _prepare(cfg, training, model, tokenizer)
            curve = run(trainer, training)
            # The trainers align these with the tokenizer; the model that is left is the one that was brought.
            model.config, model.generation_config = config, generation_config
            _save(model.to(torch.bfloat16) if is_bfloat16(cfg) else model, tokenizer, training)
        lines = "".join(json.dumps(row) + "\n" for row in curve)
        (training.out / "curve.jsonl").write_text(lines, encoding="utf-8")
        return {
            "num_rows": len(data.rows),
            "num_steps": len(curve),
            "num_tokens": int(sum(row["tokens"] for row in curve)),
            "num_too_long": data.num_too_long,
            "num_unaligned": data.num_unaligned,
            "first_loss": curve[0]["loss"],
            "last_loss": curve[-1]["loss"],
        }


def _prepare(cfg: Finetune, training: Training, model: Any, tokenizer: Any) -> tuple[Any, Tokenized]:
    """The trainer for this objective, and its rows."""
    if cfg.objective == "judge":
        from alma.engines import trl_judge

        ratings = RatingTokens.of(tokenizer, cfg.template)
        extra = 0 if ratings.ten is None else 1  # the "1" after which the second position is read
        rows = judge_rows(tokenizer, cfg.template, ratings, training.rows)
        data = _keep(cfg, model, tokenizer, rows, extra)
        return trl_judge.trainer(cfg, training, model, ratings, data.rows), data
    if not tokenizer.chat_template:
        raise DataError(f'{training.model} has no chat template; ingest it as kind = "model", which gives it one')
    stops = stop_ids(training.model, tokenizer)
    if tokenizer.pad_token is None:  # TRL wants one; what it is does not matter, padding is masked
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(min(stops))
    if cfg.objective == "dpo":
        from alma.engines import trl_dpo

        data = _keep(cfg, model, tokenizer, dpo_rows(tokenizer, stops, training.rows))
        return trl_dpo.trainer(cfg, training, model, tokenizer, data.rows), data
    from alma.engines import trl_sft

    data = _keep(cfg, model, tokenizer, sft_rows(tokenizer, stops, training.rows))
    return trl_sft.trainer(cfg, training, model, tokenizer, data.rows), data


def _keep(cfg: Finetune, model: Any, tokenizer: Any, rows: list[TokenRow | None], extra: int = 0) -> Tokenized:
    """Sets rows aside that are longer than ``cfg.max_tokens`` or the model's context; ``extra`` tokens are ours."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = cfg.max_tokens + extra if context is None else min(cfg.max_tokens + extra, context)
    data = keep(cfg, rows, limit)
    num_ids, highest = model.get_input_embeddings().num_embeddings, max(map(highest_id, data.rows))
    if highest >= num_ids:
        raise DataError(
            f"the tokenizer of {tokenizer.name_or_path} writes token {highest} and the model knows {num_ids} tokens; "
            "resize the model's embeddings or bring the tokenizer that it was trained with"
        )
    return data


def _save(model: Any, tokenizer: Any, training: Training) -> None:
    """The folder as transformers writes it; the tokenizer's files are the start model's, byte for byte."""
    training.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(training.out, max_shard_size=MAX_SHARD_SIZE)
    for name in {*TOKENIZER_FILES, *tokenizer.vocab_files_names.values()}:
        path = training.model / name
        if path.is_dir():
            shutil.copytree(path, training.out / name, dirs_exist_ok=True)
        elif path.is_file():
            shutil.copyfile(path, training.out / name)


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
