"""How far raters agree, pair by pair, on the rows that both have scored."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

_STEPS = 100
"""Of a point: scores are compared as whole numbers of these."""


class Agreement(NamedTuple):
    """Of two raters on ``num_rows`` common rows; ``None`` where it is not defined: one always says the same."""

    one: str
    other: str
    num_rows: int
    kappa: float | None
    """Cohen's, quadratically weighted."""

    pearson: float | None
    spearman: float | None
    mean_difference: float | None
    """Mean absolute difference, in points."""


def agreements(of_rater: Mapping[str, Mapping[str, float]]) -> list[Agreement]:
    """Of every pair of raters; scores by rater and row."""
    return [_agreement(one, other, of_rater[one], of_rater[other]) for one, other in combinations(sorted(of_rater), 2)]


def _agreement(one: str, other: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> Agreement:
    from scipy.stats import pearsonr, spearmanr  # type: ignore[import-untyped]
    from sklearn.metrics import cohen_kappa_score

    common = [each for each in ours if each in theirs]
    a, b = (np.array([scores[each] for each in common]) for scores in (ours, theirs))
    if not common:
        return Agreement(one, other, 0, None, None, None, None)
    difference = float(np.abs(a - b).mean())
    varied = min(np.ptp(a), np.ptp(b)) > 0
    steps = 1 if np.all(np.rint([a, b]) == [a, b]) else _STEPS
    kappa = None
    if np.ptp([a, b]) > 0:
        labels = np.arange(10 * steps + 1)
        grid = [np.rint(each * steps).astype(int) for each in (a, b)]
        kappa = float(cohen_kappa_score(*grid, labels=labels, weights="quadratic"))
    return Agreement(
        one,
        other,
        len(common),
        kappa,
        float(pearsonr(a, b).statistic) if varied else None,
        float(spearmanr(a, b).statistic) if varied else None,
        difference,
    )
