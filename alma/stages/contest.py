"""How often a checkpoint's answers are preferred to a comparator's, with and without its longer answers."""

from __future__ import annotations

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.errors import StageError
from alma.sections import Answers

# ruff: noqa: ARG001
VERSION = 1


def run(
    cfg: Answers,
    *,
    results: Rows,
    others: Rows,
    rewards: Rows | None = None,
    other_rewards: Rows | None = None,
    preferences: Rows | None = None,
    out: Out,
) -> Metrics:
    """Win rates by a reward model's ``rewards`` of both, or by a served model's ``preferences``."""
    results.expect("result", "examined")
    raise StageError("the stage contest is not there yet")
