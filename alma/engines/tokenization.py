"""Training rows as token ids; what cannot be trained on is set aside and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alma.errors import DataError, StageError
from alma.sections import Finetune

IGNORED = -100
"""The label of a token that has no loss, as torch's cross-entropy reads it."""

TokenRow = dict[str, Any]
"""A row as its objective's trainer reads it; every column that holds token ids ends with ``_ids``."""


@dataclass(frozen=True)
class Tokenized:
    """Rows ready for a trainer, and how many were set aside: too long, or ``num_unaligned`` (``render_turns``)."""

    rows: list[TokenRow]
    num_too_long: int
    num_unaligned: int


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
    """Tokens of the longest sequence that a row makes: one for each ``*_ids``, after ``prompt_ids`` if it has them."""
    prompt = len(row.get("prompt_ids", ()))
    return prompt + max(len(row[name]) for name in row if name.endswith("_ids") and name != "prompt_ids")


def highest_id(row: TokenRow) -> int:
    """The highest token id of a row."""
    return max(max(row[name], default=0) for name in row if name.endswith("_ids"))
