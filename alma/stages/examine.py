"""What a checkpoint reaches in tasks of lm-evaluation-harness."""

from __future__ import annotations

from alma.artifact import Metrics, Model
from alma.artifact.out import Out
from alma.errors import StageError
from alma.sections import Harness

# ruff: noqa: ARG001
VERSION = 1


def run(cfg: Harness, *, model: Model, out: Out) -> Metrics:
    """A row for each metric of each task."""
    raise StageError("the stage examine is not there yet")
