"""What a served model says of every answer of an evaluation: a grade, or a comparison in both orders."""

from __future__ import annotations

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.errors import StageError
from alma.sections import Chat

# ruff: noqa: ARG001
VERSION = 1


def run(cfg: Chat, *, results: Rows, others: Rows | None = None, out: Out) -> Metrics:
    """A grade of 1 to 10, or with ``cfg.pairwise`` a preference against the answers of ``others`` (pairs)."""
    results.expect("result", "examined")
    raise StageError("the stage appraise is not there yet")
