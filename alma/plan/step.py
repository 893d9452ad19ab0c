"""One use of a stage in a plan: the rows, tokens and bytes that it takes, and what they are counted from.

Tokens are counted by the kind of work that they are, since each kind has its own speed:

========  ======================================================================================
generate  sampled, one after the other
read      computed once without a gradient: prompts, rating prompts, what is before a sample
embed     read for its hidden states
train     forward and backward, once per epoch
========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alma.plan.paid import Paid
from alma.sections import Finetune

Work = Literal["generate", "read", "embed", "train"]

BYTES_PER_TOKEN = 4
"""Of English text, before compression."""
ROW_BYTES = 120
"""Ids and numbers of a row."""


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a stage: rows written, tokens by kind of work, bytes left in the store."""

    label: str
    stage: str
    rows: int = 0
    prompts: int = 0
    """Prompts that the rows answer."""
    prompt_tokens: float = 0
    """Mean tokens of a row's prompt."""
    response_tokens: float = 0
    """Mean tokens of a row's response."""
    tokens: Mapping[Work, int] = field(default_factory=dict)
    engine: str = ""
    """The library that does the work."""
    num_bytes: int = 0
    train_rows: int | None = None
    """Rows that a training reads, where that is not all of them."""
    seen_rows: int = 0
    """Of ``imitate``: the rows that all trainings of its run up to here take together."""
    trains: Finetune | None = None
    """Of ``finetune``: its settings."""
    paid: Paid | None = None
    """Of ``appraise``: what an endpoint is paid for."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a stage's count is computed from: its settings, the steps it takes rows from, mean lengths in tokens."""

    label: str
    stage: str
    cfg: Any
    given: Mapping[str, Step]
    prompt_tokens: int
    response_tokens: int

    def step(self, **counts: Any) -> Step:
        """This use with its ``counts``."""
        engine = str(getattr(self.cfg, "engine", None) or getattr(self.cfg, "trainer", ""))
        return Step(self.label, self.stage, engine=engine, **counts)


def row_bytes(tokens: float) -> int:
    """Bytes of a row with this many tokens of text."""
    return round(ROW_BYTES + tokens * BYTES_PER_TOKEN)
