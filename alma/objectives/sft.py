"""Supervised fine-tuning: the response's tokens are learnt (paper sections 3.2 and 3.4)."""

from __future__ import annotations

from alma.objectives.objective import Objective, Row, Source
from alma.sections import Finetune


def _kept(cfg: Finetune, row: Row) -> Row | None:
    """An ISARA row, if it is one of those to train on."""
    del cfg
    return {"prompt": row["prompt"], "response": row["response"]} if row["train"] else None


ANSWERED = Source(("earlier", "prompt", "response"))

SFT = Objective(
    trains="policy",
    sources={
        "pair": ANSWERED,
        "example": ANSWERED,
        "imitation": Source(("prompt", "response", "train"), _kept),
    },
    learns_all=True,
)
"""Rows have ``prompt, response``, and ``earlier`` where turns of a conversation stand before the prompt."""
