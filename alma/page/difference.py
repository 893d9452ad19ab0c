"""Whether arms differ: the best one against each other, paired where both answered the same prompts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alma.page.arms import Arm, Mean
from alma.statistics import LEVEL, holm, mean_and_error, pooled, t_interval, t_test


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm minus another by one measure."""

    other: str
    value: float
    low: float
    """Of the 95% interval by Student's quantiles, as ``high``; NaN where nothing tells."""
    high: float
    p: float
    """Two-sided; of several differences, adjusted for their number by Holm's method."""
    paired: str
    """What was subtracted: ``by repeat``, ``by prompt``, or ``not paired``."""

    @property
    def is_certain(self) -> bool:
        """Whether chance is ruled out at ``LEVEL``."""
        return self.p < LEVEL


def against_others(best: Arm, others: Sequence[Arm], measure: str) -> list[Difference]:
    """``best`` minus each of the others; those of which nothing can be told have no interval and count as no try."""
    found = [_difference(other.name, best.means[measure], other.means[measure]) for other in others]
    return [replace(each, p=p) for each, p in zip(found, holm([each.p for each in found]), strict=True)]


def _difference(other: str, first: Mean, second: Mean) -> Difference:
    """Over the repeats where one of them was repeated, else over prompts."""
    repeats, paired = _by_repeat(first, second), "by repeat"
    if len(repeats) < 2:
        repeats, paired = _by_prompt(first, second), "by prompt"
    value = first.value - second.value
    if len(repeats) > 1:
        value, error = mean_and_error(repeats)
        df = len(repeats) - 1.0
    else:
        paired = "not paired"
        error, df = pooled([_error(first), _error(second)])
    low, high = t_interval(value, error, df)
    return Difference(other, value, low, high, t_test(value, error, df), paired)


def _by_repeat(first: Mean, second: Mean) -> list[float]:
    """Differences of what both measured in a repeat, on the same prompts; an arm that ran once is that in all."""
    one, two = dict(first.values), dict(second.values)
    if len(one) > 1 and len(two) > 1:
        return [one[repeat] - two[repeat] for repeat in one if repeat in two]
    if len(two) > 1:
        return [first.value - value for value in two.values()]
    return [value - second.value for value in one.values()] if len(one) > 1 else []


def _by_prompt(first: Mean, second: Mean) -> list[float]:
    if not first.digest or first.digest != second.digest or len(first.by_prompt) != len(second.by_prompt):
        return []
    pairs = zip(first.by_prompt, second.by_prompt, strict=True)
    return [float(one) - float(two) for one, two in pairs if one is not None and two is not None]


def _error(mean: Mean) -> tuple[float, int]:
    """A mean's standard error and what it is over."""
    num = mean.num if mean.over == "prompts" else len(mean.values)
    return float(np.nan) if mean.error is None else mean.error, num
