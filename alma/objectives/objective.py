"""What there is to say about an objective, whatever trains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from alma.sections import Finetune

Row = dict[str, Any]


def _as_it_is(cfg: Finetune, row: Row) -> Row | None:
    del cfg
    return row


@dataclass(frozen=True, slots=True)
class Source:
    """How rows of one schema become rows to train on."""

    columns: tuple[str, ...]
    """What is read of a row."""

    row: Callable[[Finetune, Row], Row | None] = _as_it_is
    """The row to train on that these columns make; ``None`` where there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One way to train a model."""

    trains: Literal["policy", "judge"]
    """What the trained model is for: answering, or rating answers."""

    sources: Mapping[str, Source]
    """The schemas (``alma.artifact.records``) whose rows it trains on. All of them give rows of the same columns."""

    starts_from: Literal["base", "first"] = "base"
    """Where ALMA's rounds begin to train: the base model, or the first checkpoint that can answer."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings of ``Finetune`` where the run file and the method say nothing. None that is ``QUIET``: that one is left
    out of the JSON at the section's own default, and would be read back as this."""

    own: tuple[str, ...] = ()
    """Settings of ``Finetune`` that say how strongly it alone teaches: ``alma plan`` shows them."""

    reads_reference: bool = False
    """Whether it needs the log-probabilities of the rows by the model that training starts from: ``finetune``'s input
    ``reference``, or else a further forward pass of the trainer."""

    learns_all: bool = False
    """Whether it can learn every answer of a conversation: ``loss_on``."""

    num_sequences: int = 1
    """Sequences that a row makes, each with the prompt and one response."""

    extra_tokens: int = 0
    """Tokens of a sequence besides prompt and response, about: ``alma plan`` counts them."""

    def fault(self, cfg: Finetune) -> str | None:
        """Why settings do not go with this objective; ``None`` where they do."""
        if cfg.dropout and self.reads_reference:
            return (
                f"dropout = true with objective = '{cfg.objective}' would compare a model at random with its "
                "reference; leave dropout out (an adapter's own is adapter.dropout)"
            )
        if cfg.loss_on == "all" and not self.learns_all:
            return (
                f"loss_on = 'all' with objective = '{cfg.objective}' has no use: it learns from the last answer; leave "
                "loss_on out"
            )
        return None

    def num_tokens(self, prompt: float, response: float, limit: float) -> float:
        """Tokens that are computed of a row, no sequence longer than ``limit``."""
        return self.num_sequences * min(prompt + response + self.extra_tokens, limit)
