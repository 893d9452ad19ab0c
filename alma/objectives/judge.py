"""The judge's rating loss: the wanted distribution over 0..10 where the rating is read (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from alma.objectives.objective import Objective, Row, Source
from alma.prompts import JUDGE_TEMPLATE_TOKENS, RATINGS
from alma.sections import Finetune


def one_hot(score: float) -> list[float]:
    """A score as a distribution over 0..10. A score between two ratings is shared by them, so its mean stays."""
    low = min(int(score), RATINGS[-1] - 1)
    fraction = score - low
    return [1 - fraction if k == low else fraction if k == low + 1 else 0.0 for k in RATINGS]


def _human(cfg: Finetune, row: Row) -> Row | None:
    del cfg
    return _target(row, one_hot(row["score"]))


def _own(cfg: Finetune, row: Row) -> Row | None:
    """The judge's own judgement, if it could be read (paper section 3.3.3)."""
    if not row["parsed"]:
        return None
    return _target(row, one_hot(row["mean"]) if cfg.labels == "rounded" else row["probs"])


def _target(row: Row, target: Sequence[float]) -> Row:
    return {"prompt": row["prompt"], "response": row["response"], "target": target}


JUDGE = Objective(
    trains="judge",
    sources={
        "score": Source(("prompt", "response", "score"), _human),
        "judgement": Source(("prompt", "response", "probs", "mean", "parsed"), _own),
    },
    defaults={"packing": False},
    extra_tokens=JUDGE_TEMPLATE_TOKENS,
)
"""Rows have ``prompt, response, target``, the last the wanted p(0..10) as a list of 11 floats."""
