"""The judge's rating loss: the wanted distribution over 0..10 where the rating is read (paper section 3.3).

On its own scores (section 3.3.3) a judge learns only where the target is not what it says already. The distribution as
it is (``soft``) is the minimum of this loss: continued from the judge that gave it, there is no gradient to begin with.

Axes: R the eleven ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor

from alma.objectives.objective import Objective, Row, Source
from alma.prompts import JUDGE_TEMPLATE_TOKENS, RATINGS
from alma.prompts.conversation import asked_text
from alma.sections import Finetune


def one_hot(score: float) -> list[float]:
    """A score as a distribution over 0..10. A score between two ratings is shared by them, so its mean stays."""
    low = min(int(score), RATINGS[-1] - 1)
    fraction = score - low
    return [1 - fraction if k == low else fraction if k == low + 1 else 0.0 for k in RATINGS]


def rounded(score: float) -> list[float]:
    """All mass on the whole rating that is nearest to a score; half a rating goes up."""
    return one_hot(min(max(floor(score + 0.5), RATINGS[0]), RATINGS[-1]))


def sharpened(probs_R: Sequence[float], temperature: float) -> list[float]:
    """p^(1/T), renormalised: below T = 1 nearer to its most probable rating, whose place it keeps."""
    highest = max(probs_R)  # divided by first, so that no power of them is 0
    weights_R = [(p / highest) ** (1.0 / temperature) for p in probs_R]
    return [weight / sum(weights_R) for weight in weights_R]


LABELS: Mapping[str, Callable[[Finetune, Row], Sequence[float]]] = {
    "rounded": lambda _, row: rounded(row["mean"]),
    "sharpened": lambda cfg, row: sharpened(row["probs"], cfg.label_temperature),
    "soft": lambda _, row: row["probs"],
}
"""What a judgement becomes to train on, by ``Finetune.labels``."""


def _human(cfg: Finetune, row: Row) -> Row | None:
    del cfg
    return _target(row, one_hot(row["score"]))


def _own(cfg: Finetune, row: Row) -> Row | None:
    """The judge's own judgement, if it could be read (paper section 3.3.3)."""
    return _target(row, LABELS[cfg.labels](cfg, row)) if row["parsed"] else None


def _target(row: Row, target_R: Sequence[float]) -> Row:
    return {"prompt": asked_text(row), "response": row["response"], "target": target_R}


JUDGE = Objective(
    trains="judge",
    sources={
        "score": Source(("earlier", "prompt", "response", "score"), _human),
        "judgement": Source(("earlier", "prompt", "response", "probs", "mean", "parsed"), _own),
    },
    defaults={"packing": False, "labels": "sharpened"},
    extra_tokens=JUDGE_TEMPLATE_TOKENS,
)
"""Rows have ``prompt, response, target``: as the judge is shown them, a conversation as one text, and the wanted
p(0..10) as a list of 11 floats."""
