"""What an outside reward model gives every answer of an evaluation."""

from __future__ import annotations

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.errors import StageError
from alma.sections import Reward

# ruff: noqa: ARG001
VERSION = 1


def run(cfg: Reward, *, results: Rows, model: Model, out: Out) -> Metrics:
    """A raw reward for each row of ``results``: those of ``evaluate``, or a comparator's pairs."""
    results.expect("result", "examined", "pair")
    raise StageError("the stage reward is not there yet")
