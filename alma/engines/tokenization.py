"""Training rows as token ids, for each objective; what cannot be trained on is set aside and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alma.engines.chat import Turn, encode, render_turns
from alma.engines.rating import RatingTokens
from alma.errors import DataError, StageError
from alma.prompts import judge_prefix, judge_suffix
from alma.sections import Finetune

IGNORED = -100
"""The label of a token that has no loss, as torch's cross-entropy reads it."""

TokenRow = dict[str, Any]


@dataclass(frozen=True)
class Tokenized:
    """Rows ready for a trainer, and how many were set aside: too long, or ``num_unaligned`` (``render_turns``)."""

    rows: list[TokenRow]
    num_too_long: int
    num_unaligned: int


def sft_rows(tokenizer: Any, stops: frozenset[int], rows: Sequence[dict[str, Any]]) -> list[TokenRow | None]:
    """``input_ids`` and ``labels``: the prompt's tokens are ignored, the response's and its end token are learnt."""
    turns = render_turns(tokenizer, [(row["prompt"], row["response"]) for row in rows], stops)
    return [None if turn is None else _labelled(turn) for turn in turns]


def dpo_rows(tokenizer: Any, stops: frozenset[int], rows: Sequence[dict[str, Any]]) -> list[TokenRow | None]:
    """``prompt_ids``, ``chosen_ids`` and ``rejected_ids``, as ``trl.DPOTrainer`` makes them itself."""
    sides = [
        render_turns(tokenizer, [(row["prompt"], row[side]) for row in rows], stops) for side in ("chosen", "rejected")
    ]
    return [
        None
        if chosen is None or rejected is None
        else {
            "prompt_ids": chosen.prompt_ids,
            "chosen_ids": chosen.completion_ids,
            "rejected_ids": rejected.completion_ids,
        }
        for chosen, rejected in zip(*sides, strict=True)
    ]


def judge_rows(
    tokenizer: Any, template: str, ratings: RatingTokens, rows: Sequence[dict[str, Any]]
) -> list[TokenRow | None]:
    """``input_ids`` up to where the rating is read, and what to read there: ``first`` (R), ``weight`` and ``zero``.

    Where "10" is two tokens the ids end with "1", so that the second position is there to be read.
    """
    texts = [judge_prefix(template, row["prompt"]) + judge_suffix(template, row["response"]) for row in rows]
    targets = np.array([row["target"] for row in rows], dtype=np.float64)
    if not np.allclose(targets.sum(-1), 1.0, atol=1e-3) or targets.min() < 0.0:
        row = int(np.argmax(np.maximum(np.abs(targets.sum(-1) - 1.0), -targets.min(-1))))
        raise DataError(f"row {row}: target = {rows[row]['target']} is not a distribution over 0..10")
    first_BR, weight_B, zero_B = ratings.targets(targets / targets.sum(-1, keepdims=True))
    second = [] if ratings.ten is None else [ratings.ten[0]]
    return [
        {"input_ids": ids + second, "first": first, "weight": weight, "zero": zero}
        for ids, first, weight, zero in zip(
            encode(tokenizer, texts), first_BR.tolist(), weight_B.tolist(), zero_B.tolist(), strict=True
        )
    ]


def keep(cfg: Finetune, rows: Sequence[TokenRow | None], limit: int) -> Tokenized:
    """Sets aside the rows that are ``None`` or longer than ``limit`` tokens.

    Raises ``StageError`` if that is more than ``cfg.max_bad_share`` of them, ``DataError`` if nothing is left.
    """
    aligned = [row for row in rows if row is not None]
    kept = [row for row in aligned if num_tokens(row) <= limit]
    num_unaligned, num_too_long = len(rows) - len(aligned), len(aligned) - len(kept)
    share = (num_unaligned + num_too_long) / max(len(rows), 1)
    if share > cfg.max_bad_share:
        raise StageError(
            f"{num_too_long} of {len(rows)} rows are longer than {limit} tokens and {num_unaligned} do not continue "
            f"their prompt's tokens: a share of {share:.4f}, above max_bad_share = {cfg.max_bad_share}; raise "
            "max_tokens (up to the model's context) or max_bad_share, or bring other rows"
        )
    if not kept:
        raise DataError("no row is left to train on")
    return Tokenized(kept, num_too_long, num_unaligned)


def num_tokens(row: TokenRow) -> int:
    """Tokens of the longest sequence that a row makes."""
    if "input_ids" in row:
        return len(row["input_ids"])
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def highest_id(row: TokenRow) -> int:
    """The highest token id of a row."""
    return max(max(row[name], default=0) for name in row if name.endswith("_ids"))


def _labelled(turn: Turn) -> TokenRow:
    labels = [IGNORED] * len(turn.prompt_ids) + turn.completion_ids
    return {"input_ids": turn.prompt_ids + turn.completion_ids, "labels": labels}
