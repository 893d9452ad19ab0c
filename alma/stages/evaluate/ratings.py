"""Answers as the judge rates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alma.engines import UNREADABLE, Scorer
from alma.engines.judging import rate, reading
from alma.prompts.conversation import asked_text
from alma.sections import Evaluate


def add_ratings(cfg: Evaluate, judge: str, scorer: Callable[[], Scorer], rows_P: Sequence[dict[str, Any]]) -> None:
    """The columns ``mean``, ``std``, ``parsed`` and ``judge_id`` of rows, by the judge of that name.

    A prompt that was too long to be answered has no response, and what is read of it is unreadable; where there is no
    answer at all, no judge is loaded.
    """
    pairs = [(asked_text(row), row["response"]) for row in rows_P if row["num_tokens"]]
    ratings = iter(rate(cfg, scorer(), pairs) if pairs else [])
    for row in rows_P:
        read = reading(cfg, next(ratings) if row["num_tokens"] else UNREADABLE)
        row.update({name: read[name] for name in ("mean", "std", "parsed")}, judge_id=judge)
