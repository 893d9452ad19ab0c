"""Prompts that leave no room for an answer in the model's context: rows without text or tokens, counted, kept out.

``curate`` drops such candidates and ``judge`` gives such responses no rating, so no round trains on them.
"""

from __future__ import annotations

from collections.abc import Iterable

from alma.artifact.out import Out
from alma.errors import StageError
from alma.sections import Inference


def too_long_counts(nums_tokens: Iterable[int]) -> dict[str, int]:
    """For ``Out.publish``: how many rows have no token; nothing where there is none."""
    num = sum(each == 0 for each in nums_tokens)
    return {"num_too_long": num} if num else {}


def check_too_long(out: Out, cfg: Inference, num_rows: int, remedy: str) -> None:
    """Raises ``StageError`` where more than ``cfg.max_too_long_share`` of all rows are such."""
    num = out.counts().get("num_too_long", 0)
    if num > cfg.max_too_long_share * num_rows:
        raise StageError(
            f"{out.ref}: the prompts of {num} of {num_rows} rows leave no room for an answer in the model's context, "
            f"more than max_too_long_share = {cfg.max_too_long_share:g} allows; {remedy}, or raise it (those rows have "
            "num_tokens = 0 and are kept out of what follows)"
        )
