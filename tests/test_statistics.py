"""Estimates and intervals, against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from alma.statistics import (
    best_of_n_weights,
    expected_any,
    expected_best,
    expected_pick,
    holm,
    mean_and_error,
    mean_over_groups,
    pair_counts,
    pairwise_accuracy,
    pooled,
    spearman,
    t_interval,
    t_test,
    wilson,
)

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

SCORES = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=7)


@QUICK
@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_solves_its_equation(k: int, n: int) -> None:
    k = min(k, n)
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert (k / n - end) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / n, abs=1e-12)


@QUICK
@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_is_scipys(k: int, n: int) -> None:
    k = min(k, n)
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-15)


def test_wilson_at_its_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10) == (0.0, pytest.approx(0.27753, abs=1e-5))
    with pytest.raises(ValueError, match="k = 3 is not between 0 and n = 2"):
        wilson(3, 2)


@QUICK
@given(SCORES, st.data())
def test_expected_best_is_the_mean_over_all_subsets(scores: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    assert best_of_n_weights(len(scores), n).sum() == pytest.approx(1)
    brute = np.mean([max(subset) for subset in itertools.combinations(scores, n)])
    assert expected_best(scores, n) == pytest.approx(brute)


@QUICK
@given(SCORES, st.data())
def test_expected_pick_is_the_mean_over_all_subsets_and_tie_breaks(scores: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(scores)))
    right = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    picks, oracle = [], []
    for subset in itertools.combinations(range(len(scores)), n):
        best = max(scores[i] for i in subset)
        picks.append(np.mean([right[i] for i in subset if scores[i] == best]))
        oracle.append(any(right[i] for i in subset))
    assert expected_pick(scores, right, n) == pytest.approx(np.mean(picks))
    assert expected_any(right, n) == pytest.approx(np.mean(oracle))


def test_best_of_n_stays_finite_where_binomials_do_not() -> None:
    weights = best_of_n_weights(5000, 2500)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="n = 5 is not between 1"):
        best_of_n_weights(4, 5)


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), max_size=12)


@QUICK
@given(ROWS)
def test_pairwise_accuracy_counts_pairs_of_a_prompt(rows: list[tuple[str, int, int]]) -> None:
    agreement = []
    for (group, human, given_), (other, human2, given2) in itertools.combinations(rows, 2):
        if group == other and human != human2:
            agreement.append(0.5 if given_ == given2 else float((human > human2) == (given_ > given2)))
    groups, human_, predicted = ([row[i] for row in rows] for i in range(3))
    accuracy, num = pairwise_accuracy(groups, human_, predicted)
    assert num == len(agreement)
    assert accuracy == pytest.approx(np.mean(agreement)) if agreement else math.isnan(accuracy)


def test_a_set_of_one_prompt_takes_no_memory_for_each_pair() -> None:
    rng = np.random.default_rng(0)
    human, predicted = rng.integers(0, 11, 100_000), rng.integers(0, 11, 100_000)
    alike, tied, pairs = pair_counts(["one"] * 100_000, human, predicted)
    _, counts = np.unique(human, return_counts=True)
    assert pairs == (100_000**2 - int((counts**2).sum())) // 2
    assert tied / pairs == pytest.approx(1 / 11, abs=0.001)
    assert alike / pairs == pytest.approx(5 / 11, abs=0.001)


def test_pairs_of_no_row_are_none() -> None:
    assert pair_counts([], [], []) == (0, 0, 0)


@pytest.mark.parametrize(("error", "num"), [(1e-90, 5), (5e-324, 2), (0.0, 1)])
def test_errors_too_small_to_be_squared_twice_are_none(error: float, num: int) -> None:
    assert pooled([(error, num), (error, num)]) == (0.0, num - 1.0)


@pytest.mark.parametrize(("error", "num"), [(1e90, 5), (math.inf, 5), (1.0, 1)])
def test_what_no_degrees_of_freedom_follow_from_is_not_known(error: float, num: int) -> None:
    assert all(map(math.isnan, pooled([(error, num), (0.5, 4)])))


def test_spearman_sees_ranks_only_and_is_undefined_for_a_constant() -> None:
    assert spearman([1, 2, 3, 4], [1, 8, 27, 640]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 1, 2]) == pytest.approx(-0.8)
    assert math.isnan(spearman([1, 2, 3], [5, 5, 5]))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_spearman_is_scipys(rows: list[tuple[int, int]]) -> None:
    first, second = zip(*rows, strict=True)
    if len({*first}) > 1 and len({*second}) > 1:
        assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-15)


def test_the_error_of_one_value_is_undefined() -> None:
    assert mean_and_error([3.0, 5.0]) == (4.0, pytest.approx(1.0))
    assert mean_and_error([3.0])[0] == 3.0
    assert math.isnan(mean_and_error([3.0])[1])
    assert math.isnan(mean_and_error([])[0])


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_an_interval_of_few_values_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(0)
    covered = two_errors = 0
    for values in rng.normal(3.0, 2.0, (1500, n)):
        mean, error = mean_and_error(values)
        low, high = t_interval(mean, error, n - 1)
        covered += low <= 3.0 <= high
        two_errors += abs(mean - 3.0) <= 2 * error
    assert covered / 1500 == pytest.approx(0.95, abs=0.02)  # 3.5 standard errors of this share
    assert n > 3 or two_errors / 1500 < 0.85  # of what this replaces


@QUICK
@given(st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=9), st.integers(-3, 3))
def test_the_interval_and_the_test_are_scipys(values: list[float], zero: int) -> None:
    shifted = [value - zero for value in values]
    mean, error = mean_and_error(shifted)
    if error == 0:
        assert t_test(mean, error, len(values) - 1) == float(mean == 0)
        return
    wanted = stats.ttest_1samp(shifted, 0)
    assert t_test(mean, error, len(values) - 1) == pytest.approx(wanted.pvalue)
    assert t_interval(mean, error, len(values) - 1) == pytest.approx(tuple(wanted.confidence_interval()))


def test_two_means_that_are_not_paired_are_compared_as_welch_did() -> None:
    first, second = [1.0, 2.0, 4.0, 3.0], [5.0, 9.0, 1.0]
    (one, error_1), (two, error_2) = mean_and_error(first), mean_and_error(second)
    error, df = pooled([(error_1, 4), (error_2, 3)])
    wanted = stats.ttest_ind(first, second, equal_var=False)
    assert df == pytest.approx(wanted.df)
    assert t_test(one - two, error, df) == pytest.approx(wanted.pvalue)


def test_the_mean_over_groups_covers_the_truth() -> None:
    rng, sizes = np.random.default_rng(1), (3, 8, 30)
    truth, covered = (0.0 + 1.0 + 5.0) / 3, 0
    for _ in range(600):
        groups = [rng.normal(mean, 1 + mean, size) for mean, size in zip((0.0, 1.0, 5.0), sizes, strict=True)]
        value, error, df = mean_over_groups(groups)
        low, high = t_interval(value, error, df)
        covered += low <= truth <= high
    assert covered / 600 == pytest.approx(0.95, abs=0.03)
    assert math.isnan(mean_over_groups([[1.0], [1.0, 2.0]])[1])
    assert math.isnan(mean_over_groups([])[0])


def test_holm_keeps_the_rate_of_false_finds_of_all_tries_together() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # worked by hand
    assert holm([]) == []
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True), "NaN is no try"
    rng = np.random.default_rng(2)
    found = sum(min(holm(list(p_values))) < 0.05 for p_values in rng.random((4000, 6)))
    assert found / 4000 == pytest.approx(0.05, abs=0.012)


def test_nothing_is_made_up_of_too_few_values() -> None:
    assert all(math.isnan(each) for each in (*t_interval(1.0, float("nan"), 0), t_test(1.0, 0.1, 0)))
    assert all(math.isnan(each) for each in pooled([(0.1, 3), (float("nan"), 1)]))
