"""How an objective (``alma.objectives``) is trained with TRL: a file of its name here, and a line in the table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datasets import Dataset

from alma.engines.protocols import PairLogprobs, Training
from alma.engines.tokenization import TokenRow
from alma.sections import Finetune

OBJECTIVES = {
    "sft": "alma.engines.trl.sft:SFT",
    "dpo": "alma.engines.trl.dpo:DPO",
    "judge": "alma.engines.trl.judge:JUDGE",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows as token ids, ``None`` for one that cannot be trained on; ``num_extra`` tokens of each are ours."""

    rows: list[TokenRow | None]
    num_extra: int = 0


@dataclass(frozen=True, slots=True)
class Objective:
    """What TRL needs to know of one objective."""

    tokenize: Callable[[Finetune, Training, Any], Tokens]
    """The rows of a training by its model's tokenizer, before weights are loaded. Raises ``DataError``, ``ConfigError``
    for a model that cannot be trained so."""

    trainer: Callable[[Finetune, Training, Any, Any, Dataset], Any]
    """``alma.engines.trl.loop.Loop`` for a model, its tokenizer and token rows."""

    with_reference: Callable[[Sequence[TokenRow], Iterable[PairLogprobs | None]], list[TokenRow]] | None = None
    """The token rows with what a reference model thinks of them, for an objective that reads it."""

    padding: Literal["left", "right"] = "right"
    """The side on which rows of several lengths are padded."""

    joins_rows: bool = False
    """Whether ``packing`` joins the rows of a forward pass."""

    reads_tokens: bool = True
    """Whether the loss is of a row's tokens, by TRL's fused output layer (``alma.engines.trl.head``)."""


def load_objective(name: str) -> Objective:
    """The objective of that name."""
    module, _, attribute = OBJECTIVES[name].partition(":")
    found: Objective = getattr(importlib.import_module(module), attribute)
    return found
