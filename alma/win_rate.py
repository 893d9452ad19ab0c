"""How often one model's answers are preferred to another's, with and without its longer answers.

The length-controlled win rate is that of AlpacaEval 2 (arXiv 2404.04475): a logistic regression explains a preference
by who answers, by the difference of lengths and, where it is known, by how hard a prompt is; the win rate is what it
says of answers of equal length.

Axes: P prompts, F features, R rows of a regression. Preferences are 0 (the comparator's answer), 1 (the model's) or
between.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alma.statistics import Floats

NUM_FOLDS = 5
STRENGTHS = np.logspace(-4, 4, 10)
"""Inverse strengths of the L1 penalty to choose from by cross-validation, as scikit-learn's default has them."""

NUM_RESAMPLES = 1000


class WinRate(NamedTuple):
    """A share of 0..1 with its 95% interval over prompts, by the bootstrap's percentiles."""

    mean: float
    low: float
    high: float


def win_rate(preferences_P: npt.ArrayLike, seed: int = 0) -> WinRate:
    """The mean preference; draws count one half. Raises ``ValueError`` for none, or one outside 0..1."""
    wins = _checked(preferences_P)
    rng = np.random.default_rng(seed)  # by the resample: all at once take a thousand times the memory
    resampled = [wins[rng.integers(0, wins.size, size=wins.size)].mean() for _ in range(NUM_RESAMPLES)]
    return _interval(float(wins.mean()), np.array(resampled))


def length_controlled_win_rate(
    preferences_P: npt.ArrayLike,
    lengths_P: npt.ArrayLike,
    other_lengths_P: npt.ArrayLike,
    difficulties_P: npt.ArrayLike | None = None,
    seed: int = 0,
) -> WinRate:
    """The win rate that answers of equal length would have; lengths in characters, as AlpacaEval counts them.

    ``difficulties_P``: AlpacaEval's ``instruction_difficulty`` for its own prompts; of others nobody knows it. The
    penalty's strength is chosen once, by cross-validation; each resample of the interval is fitted with it.
    Raises ``ValueError`` for fewer than ``NUM_FOLDS`` prompts, or lengths that do not go with the preferences.
    """
    wins = _checked(preferences_P)
    longer = np.asarray(lengths_P, dtype=np.float64) - np.asarray(other_lengths_P, dtype=np.float64)
    if longer.shape != wins.shape:
        raise ValueError(f"lengths of {longer.size} answers for {wins.size} preferences")
    if wins.size < NUM_FOLDS:
        raise ValueError(f"{wins.size} prompts are too few to control for length; it takes {NUM_FOLDS}")
    columns = [_bounded(longer), np.ones_like(wins)]
    if difficulties_P is not None:
        columns.insert(1, np.asarray(difficulties_P, dtype=np.float64))
    features = np.stack(columns, axis=1)
    strength = _chosen_strength(features, wins)
    rng = np.random.default_rng(seed)
    resamples = (rng.integers(0, wins.size, size=wins.size) for _ in range(NUM_RESAMPLES))
    found = [_at_equal_length(features[each], wins[each], strength) for each in resamples]
    return _interval(_at_equal_length(features, wins, strength), np.array(found))


def _checked(preferences_P: npt.ArrayLike) -> Floats:
    wins = np.asarray(preferences_P, dtype=np.float64)
    if wins.size == 0 or not ((wins >= 0) & (wins <= 1)).all():
        raise ValueError("preferences are numbers of 0 to 1, at least one")
    return wins


def _interval(mean: float, resampled: Floats) -> WinRate:
    low, high = np.quantile(resampled, [0.025, 0.975])
    # Percentiles of resamples need not hold what all prompts give; an interval is one of what was found.
    return WinRate(mean, min(float(low), mean), max(float(high), mean))


def _bounded(longer_P: Floats) -> Floats:
    spread = longer_P.std(ddof=1)
    return np.tanh(longer_P / spread) if spread > 0 else np.zeros_like(longer_P)


def _at_equal_length(features_PF: Floats, wins_P: Floats, strength: float) -> float:
    """The mean prediction with no difference of lengths, which is the first feature."""
    weights = _fitted(features_PF, wins_P, strength)
    return float(_sigmoid(features_PF[:, 1:] @ weights[1:]).mean())


def _fitted(features_PF: Floats, wins_P: Floats, strength: float) -> Floats:
    """Weights of the regression; a preference of p is p of a win and 1 - p of a loss."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=123, max_iter=100
    )
    features_RF, labels_R, weights_R = _rows(features_PF, wins_P)
    with warnings.catch_warnings():
        # Where one side wins all prompts of some length, weights grow without end: they stop where the reference's do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features_RF, labels_R, sample_weight=weights_R)
    return np.asarray(model.coef_[0], dtype=np.float64)


def _rows(features_PF: Floats, wins_P: Floats) -> tuple[Floats, Floats, Floats]:
    """Features, labels and weights of R rows that the regression reads: each prompt as a win and as a loss.

    Where one side wins everything, as in some resamples of few prompts, there are rows of one label alone, of which
    liblinear makes the same weights whoever won. So every other prompt is told from the other side: with no intercept,
    a win with features x is a loss with features -x.
    """
    if 0 < wins_P.mean() < 1:
        return np.tile(features_PF, (2, 1)), np.repeat([1.0, 0.0], wins_P.size), np.concatenate([wins_P, 1 - wins_P])
    side_P = np.where(np.arange(wins_P.size) % 2, -1.0, 1.0)
    return features_PF * side_P[:, None], (wins_P == (side_P > 0)).astype(np.float64), np.ones_like(wins_P)


def _chosen_strength(features_PF: Floats, wins_P: Floats) -> float:
    """The strength with the least cross-entropy on prompts that were left out."""
    from sklearn.model_selection import GroupKFold

    groups = np.tile(np.arange(wins_P.size), 2)  # both copies of a prompt are in one fold, as in the reference
    folds = list(GroupKFold(n_splits=NUM_FOLDS).split(groups, groups=groups))
    losses = np.zeros((NUM_FOLDS, STRENGTHS.size))
    for fold, (train, test) in enumerate(folds):
        seen, left = np.unique(groups[train]), np.unique(groups[test])
        for place, strength in enumerate(STRENGTHS):
            weights = _fitted(features_PF[seen], wins_P[seen], float(strength))
            predicted = np.clip(_sigmoid(features_PF[left] @ weights), 1e-15, 1 - 1e-15)
            loss = wins_P[left] * np.log(predicted) + (1 - wins_P[left]) * np.log1p(-predicted)
            losses[fold, place] = -loss.mean()
    return float(STRENGTHS[losses.mean(axis=0).argmin()])


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -x)), dtype=np.float64)
