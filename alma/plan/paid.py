"""What endpoints are paid for: requests and tokens, by the model that is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alma.prompts.mt_bench import PROMPT_TOKENS

VERDICT_TOKENS = 200
"""Assumed mean length of a verdict: a short explanation, and a rating or a choice."""


class Paid(NamedTuple):
    """What one use of a stage asks of a served model, for every answer that it is asked about."""

    model: str
    """Its name at the endpoint."""

    answers: int
    requests: int
    """Per answer: one, or one for each order of a comparison."""

    sent_tokens: int
    """Per answer, over all its requests: the prompt's words, the question, the answers."""

    written_tokens: int
    """Per answer, over all its requests."""

    @classmethod
    def of(cls, model: str, answers: int, *, pair: bool, question: float, answer: float, limit: int) -> Paid:
        """A grade of each answer, or its comparison with another one; mean lengths in tokens."""
        requests, shown = (2, 2) if pair else (1, 1)
        sent = requests * (PROMPT_TOKENS + question + shown * answer)
        return cls(model, answers, requests, round(sent), requests * min(limit, VERDICT_TOKENS))


def rows(paid: Iterable[Paid]) -> list[tuple[str, ...]]:
    """A line for each model and kind of request: name, requests, tokens sent, tokens written, tokens per answer."""
    found: dict[tuple[str, int], list[Paid]] = {}
    for each in paid:
        found.setdefault((each.model, each.requests), []).append(each)
    return [
        (
            model,
            "compares" if requests > 1 else "grades",
            f"{sum(each.answers * each.requests for each in uses):,}",
            f"{sum(each.answers * each.sent_tokens for each in uses):,}",
            f"{sum(each.answers * each.written_tokens for each in uses):,}",
            f"{max(each.sent_tokens + each.written_tokens for each in uses):,}",
        )
        for (model, requests), uses in found.items()
    ]
