"""Where the judge and outside evaluators part: what changed since the first trained point, and how surely. Pure.

A judge that is optimised against rises, whatever becomes of the answers: who else looks at the same answers tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alma.page.numbers import Estimate, OutsideMeasure, Point, Quality
from alma.statistics import LEVEL, holm, interval_error, mean_and_error, pooled, t_interval, t_test

JUDGE = "the judge's score"
"""What the judge is called beside the evaluators' measures."""


@dataclass(frozen=True, slots=True)
class Change:
    """How one measure changed from a point to a later one, in its own unit, better being more."""

    name: str
    start: str
    """Labels of the points."""
    end: str
    estimate: Estimate
    """Paired over the same prompts where they are told prompt by prompt."""
    spread: float
    """Standard deviation of the prompts' values at the start; NaN where it is not known."""
    p: float
    """Two-sided, of no change; adjusted for the number of outside measures by Holm's method."""

    @property
    def verdict(self) -> int:
        """1 for a sure rise, -1 for a sure fall, else 0."""
        return 0 if not self.p < LEVEL else int(np.sign(self.estimate.value))


@dataclass(frozen=True, slots=True)
class Line:
    """A measure over the points, as change since ``start`` in units of its own spread there, up being better."""

    name: str
    points: tuple[tuple[str, Estimate], ...]


def judge_measure(quality: Quality | None) -> OutsideMeasure | None:
    """The judge's own score, as one of an evaluator; ``None`` where nothing was judged."""
    if quality is None or quality.score is None:
        return None
    return OutsideMeasure(
        name="judge_score",
        label=JUDGE,
        better=1,
        fraction=False,
        estimate=quality.score,
        values=quality.scores,
        prompts_digest=quality.prompts_digest,
    )


def followed(points: Sequence[Point]) -> dict[str, dict[str, OutsideMeasure]]:
    """Measure of an evaluator → point → its number, in the order in which they first appear.

    An evaluator whose model changed on the way is another one.
    """
    found: dict[str, dict[str, OutsideMeasure]] = {}
    first: dict[str, str] = {}
    for point in points:
        for evaluator in point.outside:
            same = evaluator.judged_by == first.setdefault(evaluator.name, evaluator.judged_by)
            name = evaluator.name if same else f"{evaluator.name} by {evaluator.judged_by}"
            for measure in evaluator.measures:
                found.setdefault(f"{name}: {measure.label}", {})[point.label] = measure
    return found


def started(points: Sequence[Point], having: Sequence[str]) -> str | None:
    """The first trained point among those of ``having``; where none but the last was trained, the first of all."""
    among = [point for point in points if point.label in having]
    trained = next((point for point in among[:-1] if point.training is not None), None)
    return trained.label if trained else among[0].label if among else None


def changes(points: Sequence[Point]) -> list[tuple[Change, Change]]:
    """The judge's change beside that of every outside measure that is better or worse, over the points of both."""
    judged = {point.label: each for point in points if (each := judge_measure(point.quality)) is not None}
    found = []
    for name, by_point in followed(points).items():
        both = [point.label for point in points if point.label in by_point and point.label in judged]
        start = started(points, both)
        if start is None or both[-1] == start or by_point[start].better == 0:
            continue
        ours = change(JUDGE, judged, start, both[-1])
        found.append((ours, change(name, by_point, start, both[-1])))
    adjusted = holm([theirs.p for _, theirs in found])
    return [(ours, replace(theirs, p=p)) for (ours, theirs), p in zip(found, adjusted, strict=True)]


def change(name: str, by_point: dict[str, OutsideMeasure], start: str, end: str) -> Change:
    """Between two points that have the measure."""
    before, after = by_point[start], by_point[end]
    sign = before.better or 1
    pairs = _pairs(before, after)
    if len(pairs) > 1:
        value, error = mean_and_error([b - a for a, b in pairs])
        df, num = len(pairs) - 1.0, len(pairs)
        spread = float(np.std([a for a, _ in pairs], ddof=1))
    else:
        value, num = after.estimate.value - before.estimate.value, min(before.estimate.num, after.estimate.num)
        errors = [_error(before.estimate), _error(after.estimate)]
        error, df = pooled(errors)
        spread = errors[0][0] * errors[0][1] ** 0.5
    low, high = sorted(sign * each for each in t_interval(value, error, df))
    known = not math.isnan(low)
    estimate = Estimate(value=sign * value, low=low if known else None, high=high if known else None, num=num)
    return Change(name, start, end, estimate, spread, t_test(value, error, df))


def lines(points: Sequence[Point]) -> list[Line]:
    """The judge first, then the outside measures that were looked at from the first trained point on."""
    judged = {point.label: each for point in points if (each := judge_measure(point.quality)) is not None}
    start = started(points, [point.label for point in points if point.quality is not None])
    if start is None:
        return []
    found = []
    for name, by_point in {JUDGE: judged, **followed(points)}.items():
        if start not in by_point or not by_point[start].better:
            continue
        told = [change(name, by_point, start, point.label) for point in points if point.label in by_point]
        since = [each.end for each in told].index(start)
        if not told[since].spread > 0 or len(told) == since + 1:
            continue
        zero = Estimate(value=0.0, low=None, high=None, num=told[since].estimate.num)
        scaled = [(each.end, _scaled(each)) for each in told[since + 1 :] if each.spread > 0]
        found.append(Line(name, ((start, zero), *scaled)))
    return found


def _scaled(told: Change) -> Estimate:
    value, low, high = (
        None if each is None else each / told.spread
        for each in (told.estimate.value, told.estimate.low, told.estimate.high)
    )
    assert value is not None
    return Estimate(value=value, low=low, high=high, num=told.estimate.num)


def _error(estimate: Estimate) -> tuple[float, int]:
    """Its standard error and what it is over."""
    return interval_error(estimate.low, estimate.high, estimate.num - 1), estimate.num


def _pairs(before: OutsideMeasure, after: OutsideMeasure) -> list[tuple[float, float]]:
    if not before.prompts_digest or before.prompts_digest != after.prompts_digest:
        return []
    if len(before.values) != len(after.values):  # one tells no prompt by itself
        return []
    pairs = zip(before.values, after.values, strict=True)
    return [(a, b) for a, b in pairs if a is not None and b is not None]
