"""What the steps of a layer made, as parameters of the task that hands it on: numbered, so that layers share one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STATE = "new_state"
"""The output parameter that holds the new ledger's name."""


def made_names(num_steps: int) -> list[str]:
    """The names of the parameters: of every step its label, and its artifact's name."""
    return [f"{what}_{place}" for place in range(num_steps) for what in ("label", "ref")]


def made(labels: Sequence[str], refs: Sequence[Any]) -> dict[str, Any]:
    """The values of the parameters."""
    values = [value for pair in zip(labels, refs, strict=True) for value in pair]
    return dict(zip(made_names(len(labels)), values, strict=True))
