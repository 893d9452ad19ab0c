"""Estimates and intervals that ``evaluate``, ``judge`` and ``report`` share: pure functions on arrays.

Axes: N samples of one prompt. All intervals are two-sided, 95% unless ``z`` says otherwise. Undefined results are NaN,
never a made-up number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95% interval."""
LEVEL = 0.05
"""A difference is called one where chance alone would show as much less often, over all that were looked at."""


def wilson(k: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Interval (low, high) of a share of which ``k`` of ``n`` were seen; (0, 1) when nothing was seen.

    Wilson 1927, JASA 22:209; unlike p ± z·se it stays inside [0, 1] and is not empty at k = 0 or n.
    ``scipy.stats.binomtest`` gives the same but for its last bit: a report made again would not be equal to the byte.
    Raises ``ValueError`` unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} is not between 0 and n = {n}")
    if n == 0:
        return 0.0, 1.0
    share, shrink = k / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends centre and half are equal in exact arithmetic; rounding must not leave the share outside.
    return float(min(max(0.0, centre - half), share)), float(max(min(1.0, centre + half), share))


def mean_and_error(values: npt.ArrayLike) -> tuple[float, float]:
    """Mean and its standard error (ddof 1). The error of a single value is NaN, both are of none."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return float("nan"), float("nan")
    return float(array.mean()), float(stats.sem(array)) if array.size > 1 else float("nan")


def t_interval(value: float, error: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a mean whose standard ``error`` was estimated from as much as ``df`` degrees of freedom.

    Student's quantiles: of three values 4.3 standard errors to each side. Two of them would miss the truth one time in
    five. NaN where there is no error or no degree of freedom.
    """
    if math.isnan(error) or not df > 0:
        return float("nan"), float("nan")
    half = float(special.stdtrit(df, (1 + level) / 2)) * error
    return value - half, value + half


def interval_error(low: float | None, high: float | None, df: float) -> float:
    """The standard error that an interval is made of: the inverse of ``t_interval``. NaN where there is no interval.

    Of an interval that is no Student's (Wilson's, a bootstrap's) the error that Student's of its width would have.
    """
    if low is None or high is None or not df > 0:
        return float("nan")
    return (high - low) / 2 / float(special.stdtrit(df, 0.975))


def t_test(value: float, error: float, df: float) -> float:
    """Two-sided p-value of a mean against 0; of one that never varied 0, or 1 where it is 0. NaN as ``t_interval``."""
    if math.isnan(error) or not df > 0:
        return float("nan")
    if error == 0:
        return float(value == 0)
    return float(2 * special.stdtr(df, -abs(value) / error))


def pooled(parts: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Standard error of a sum or difference of independent means, and its degrees of freedom.

    A part is (a mean's standard error, its number of values). Welch 1947, Biometrika 34:28, and Satterthwaite.
    """
    squares = [error * error for error, _ in parts]
    total = sum(squares)
    if total * total == 0:  # errors whose fourth powers are 0 are none
        return 0.0, float(min(num - 1 for _, num in parts))
    if not math.isfinite(total * total) or any(s and num < 2 for s, (_, num) in zip(squares, parts, strict=True)):
        return float("nan"), float("nan")
    return math.sqrt(total), total**2 / sum(s * s / (num - 1) for s, (_, num) in zip(squares, parts, strict=True) if s)


def mean_over_groups(groups: Iterable[npt.ArrayLike]) -> tuple[float, float, float]:
    """Mean of the groups' means, each counting the same, with its standard error and degrees of freedom.

    The error is that of other values within these groups; other groups are not in it. NaN where a group has one value.
    """
    found = [np.asarray(group, dtype=np.float64) for group in groups]
    if not found:
        return float("nan"), float("nan"), float("nan")
    means = [mean_and_error(group) for group in found]
    error, df = pooled([(error, group.size) for (_, error), group in zip(means, found, strict=True)])
    return float(np.mean([mean for mean, _ in means])), error / len(found), df


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that none of them is below α by chance more often than α.

    NaN is of no test: it stays, and counts as no try. Holm 1979, Scand. J. Statist. 6:65: uniformly more powerful than
    Bonferroni's, and as free of assumptions.
    """
    tried = sorted((place for place, p in enumerate(p_values) if not math.isnan(p)), key=lambda each: p_values[each])
    adjusted, largest = list(p_values), 0.0
    for rank, place in enumerate(tried):
        largest = max(largest, min(1.0, (len(tried) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def best_of_n_weights(num_samples: int, n: int) -> Floats:
    """(N,) probability that the i-th best of N samples is the best of a random subset of n, without replacement.

    w_i = C(N - i, n - 1) / C(N, n), by its recurrence, so that no binomial overflows. Raises ``ValueError`` unless
    1 <= n <= N.
    """
    if not 1 <= n <= num_samples:
        raise ValueError(f"n = {n} is not between 1 and the number of samples, {num_samples}")
    ranks = np.arange(1, num_samples)
    ratios = np.maximum(num_samples - ranks - n + 1, 0) / (num_samples - ranks)
    return np.asarray(n / num_samples * np.concatenate(([1.0], np.cumprod(ratios))), dtype=np.float64)


def expected_best(scores_N: npt.ArrayLike, n: int) -> float:
    """Expected highest score among n of the N samples: the mean over all subsets of size n, in closed form."""
    scores = -np.sort(-np.asarray(scores_N, dtype=np.float64))
    return float(best_of_n_weights(scores.size, n) @ scores)


def expected_pick(scores_N: npt.ArrayLike, values_N: npt.ArrayLike, n: int) -> float:
    """Expected value of the highest-scored of n of the N samples; equal scores are drawn between at random.

    Raises ``ValueError`` for more scores than values, or fewer.
    """
    scores, values = np.asarray(scores_N, dtype=np.float64), np.asarray(values_N, dtype=np.float64)
    if scores.shape != values.shape:
        raise ValueError(f"{scores.size} scores for {values.size} values")
    # Samples of one score are exchangeable, so each counts as the mean of its kind.
    _, kind = np.unique(-scores, return_inverse=True)
    means = np.bincount(kind, weights=values) / np.bincount(kind)
    return float(best_of_n_weights(scores.size, n) @ means[np.sort(kind)])


def expected_any(correct_N: npt.ArrayLike, n: int) -> float:
    """Probability that a random subset of n of the N samples holds a correct one: 1 - C(N - c, n) / C(N, n)."""
    return expected_best(np.asarray(correct_N, dtype=bool), n)


def pairwise_accuracy(
    groups: Sequence[Any] | npt.NDArray[Any], human: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[float, int]:
    """Share of pairs that two scores order alike, and the number of pairs.

    A pair is two rows of one group (a prompt) whose human scores differ; equal predictions count one half. Without
    such a pair the share is NaN.
    """
    alike, tied, pairs = pair_counts(groups, human, predicted)
    return ((alike + tied / 2) / pairs if pairs else float("nan")), pairs


def pair_counts(
    groups: Sequence[Any] | npt.NDArray[Any], human: npt.ArrayLike, predicted: npt.ArrayLike
) -> tuple[int, int, int]:
    """Of the pairs of ``pairwise_accuracy``: those ordered alike, those with equal predictions, and all.

    Without a look at each pair: a set may have one prompt alone, and then has as many as its rows squared.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    human_, predicted_ = np.asarray(human, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    order = np.lexsort((human_, group))
    alike = tied = pairs = 0
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        lower = np.empty(0)  # predictions of the rows that people scored lower, sorted
        for equal in np.split(predicted_[rows], np.flatnonzero(np.diff(human_[rows])) + 1):
            below, up_to = (int(np.searchsorted(lower, equal, side).sum()) for side in ("left", "right"))
            alike, tied, pairs = alike + below, tied + up_to - below, pairs + lower.size * equal.size
            lower = np.sort(np.concatenate((lower, equal)), kind="stable")
    return alike, tied, pairs


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Rank correlation; NaN where one side is constant or there are fewer than two rows.

    ``scipy.stats.spearmanr`` gives the same but for its last bit: a report made again would not be equal to the byte.
    """
    ranks = [stats.rankdata(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    if ranks[0].size < 2 or any(np.ptp(each) == 0 for each in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
