"""What the evaluations and validations in a store say of one model, and outside evaluators of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from alma.artifact import Manifest, Ref, find_manifest
from alma.artifact.measures import LABELS
from alma.export.lineage import origin
from alma.store import Store

VALIDATION = {
    "pairwise_accuracy": "pairwise accuracy",
    "pairwise_accuracy_integer": "pairwise accuracy, integer scores",
    "mean_absolute_error": "mean absolute error",
}
"""Metric of a judge on held-out human scores → what a person reads."""


OUTSIDE = {
    "reward": {"reward": "mean reward"},
    "appraise": {"score": "mean grade, 1 to 10"},
    "contest": {"win_rate": "win rate", "length_controlled_win_rate": "win rate at equal length"},
}
"""Stage that looks at an evaluation from outside → its measures → what a person reads."""


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

    interval: tuple[float, float] | None = None
    """Of 95%, where the stage itself found one."""

    outside: bool = False
    """Whether it is an outside evaluator's, which selected and trained nothing."""


def results(store: Store, model: Ref, *, judge: bool) -> list[Result]:
    """Of a judge its validations on human scores; of a policy its evaluations, and what outsiders say of them."""
    stage, port, labels = ("judge", "judge", VALIDATION) if judge else ("evaluate", "model", LABELS)
    ours = [each for each in sealed(store, stage) if each.inputs.get(port) == str(model)]
    found = [result for each in ours for result in _told(each, labels)]
    if judge:
        return found
    evaluated = {str(each.ref) for each in ours}
    for stage, names in OUTSIDE.items():
        for each in sealed(store, stage):
            if each.inputs.get("results") in evaluated:
                who = _who(store, each)
                found += _told(each, {name: f"{label}, {who}" for name, label in names.items()}, outside=True)
    for each in sealed(store, "examine"):
        if each.inputs.get("model") == str(model) and not each.section.get("limit"):  # a trial is no result
            exams = {name: f"{name}, lm-evaluation-harness" for name in each.metrics if f"{name}_error" in each.metrics}
            found += _told(each, exams, outside=True)
    return found


def sealed(store: Store, stage: str) -> Iterator[Manifest]:
    """All artifacts of a stage, by their keys. A folder of another name is somebody's own, and passed over."""
    names = [name.removesuffix("/manifest.json") for name in store.list(stage) if name.endswith("/manifest.json")]
    found = (find_manifest(store, ref) for name in names if (ref := Ref.find(name)) is not None)
    return (each for each in found if each is not None)


def _told(by: Manifest, labels: Mapping[str, str], *, outside: bool = False) -> Iterator[Result]:
    for measure, label in labels.items():
        if (value := by.metrics.get(measure)) is not None:
            ends = (by.metrics.get(f"{measure}_low"), by.metrics.get(f"{measure}_high"))
            interval = None if ends[0] is None or ends[1] is None else (ends[0], ends[1])
            error = by.metrics.get(f"{measure}_error")
            yield Result(measure, label, value, error, by.num_rows or 0, by, interval, outside)


def _who(store: Store, by: Manifest) -> str:
    """Who says so: a served model, a reward model, or whose answers it was compared with."""
    if by.ref.stage == "appraise":
        return f"by {by.section['openai']['model']}"
    port, word = ("others", "against") if by.ref.stage == "contest" else ("model", "by")
    brought = find_manifest(store, Ref.parse(by.inputs[port]))
    return f"{word} {by.inputs[port] if brought is None else origin(brought)}"
