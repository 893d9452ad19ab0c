"""What the evaluations and validations in a store say of one model."""

from __future__ import annotations

from typing import NamedTuple

from alma.artifact import Manifest, Ref, find_manifest
from alma.artifact.measures import LABELS
from alma.store import Store

VALIDATION = {
    "pairwise_accuracy": "pairwise accuracy",
    "pairwise_accuracy_integer": "pairwise accuracy, integer scores",
    "mean_absolute_error": "mean absolute error",
}
"""Metric of a judge on held-out human scores → what a person reads."""


class Result(NamedTuple):
    """One number."""

    measure: str
    label: str
    value: float
    error: float | None
    """Standard error over prompts."""

    num_rows: int
    by: Manifest
    """The evaluation, or the validation."""


def results(store: Store, model: Ref, *, judge: bool) -> list[Result]:
    """Of a policy its evaluations' measures, of a judge its validations' on human scores; by their keys."""
    stage, port, labels = ("judge", "judge", VALIDATION) if judge else ("evaluate", "model", LABELS)
    names = [name for name in store.list(stage) if name.count("/") == 2 and name.endswith("/manifest.json")]
    found = (find_manifest(store, Ref.parse(name.removesuffix("/manifest.json"))) for name in names)
    ours = [each for each in found if each is not None and each.inputs.get(port) == str(model)]
    return [
        Result(measure, label, value, each.metrics.get(f"{measure}_error"), each.num_rows or 0, each)
        for each in ours
        for measure, label in labels.items()
        if (value := each.metrics.get(measure)) is not None
    ]
