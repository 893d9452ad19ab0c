"""Preference pairs as token ids, and what DPO's reference model thinks of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from alma.engines.chat import Exchange, render_turns
from alma.engines.protocols import PairLogprobs
from alma.engines.tokenization import TokenRow
from alma.errors import DataError
from alma.prompts.conversation import messages

LOGPROBS = ("ref_chosen_logps", "ref_rejected_logps")
"""Columns of a token row, as ``trl.DPOTrainer`` calls them."""

_IDS = ("prompt_ids", "chosen_ids", "rejected_ids")


def dpo_rows(tokenizer: Any, stops: frozenset[int], rows: Sequence[Mapping[str, Any]]) -> list[TokenRow | None]:
    """``prompt_ids``, ``chosen_ids`` and ``rejected_ids``, as ``trl.DPOTrainer`` makes them itself."""
    before = [messages(row.get("earlier")) for row in rows]
    sides = [
        render_turns(
            tokenizer,
            [Exchange(row["prompt"], row[side], earlier) for row, earlier in zip(rows, before, strict=True)],
            stops,
        )
        for side in ("chosen", "rejected")
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


def with_logprobs(rows: Sequence[TokenRow], reference: Iterable[PairLogprobs | None]) -> list[TokenRow]:
    """The rows with what the reference thinks of them, found by their tokens.

    Raises ``DataError`` for a row whose tokens the reference has not read.
    """
    known = {each.digest: each for each in reference if each is not None}
    found = [known.get(digest(row)) for row in rows]
    missing = found.count(None)
    if missing:
        row = rows[found.index(None)]
        sizes = ", ".join(f"{len(row[name])} {name}" for name in _IDS)
        raise DataError(
            f"the reference has read other tokens than training has of {missing} of {len(rows)} pairs, the first "
            f"with {sizes}: reference.max_tokens is below the training's, or the tokenizer or its chat template changed"
        )
    return [
        row | dict(zip(LOGPROBS, (each.chosen, each.rejected), strict=True))
        for row, each in zip(rows, found, strict=True)
        if each is not None
    ]


def digest(row: TokenRow) -> str:
    """Of a pair's token ids, as ``dpo_rows`` makes them."""
    found = hashlib.sha256()
    for name in _IDS:
        ids = np.array(row[name], dtype="<u4")
        found.update(len(ids).to_bytes(8, "big") + ids.tobytes())
    return found.hexdigest()[:32]
