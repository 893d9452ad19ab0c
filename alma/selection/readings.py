"""How a judgement is read as one number. Another reading is a function here and a line in ``READINGS``.

Axes: R the eleven ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alma.prompts import RATINGS
from alma.sections import Select

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Judgement = Mapping[str, Any]
"""A row of the schema ``judgement``."""

_SCALE_R = np.array(RATINGS)


def mean(probs_R: Floats) -> float:
    """Σ k·p(k) (paper section 3.3.2)."""
    return float(probs_R @ _SCALE_R)


def std(probs_R: Floats) -> float:
    """Standard deviation of the rating."""
    return float(np.sqrt(max(0.0, float(probs_R @ (_SCALE_R - mean(probs_R)) ** 2))))


def integer(probs_R: Floats) -> int:
    """The most probable rating: what a decoded judge would write."""
    return int(probs_R.argmax())


COLUMNS: dict[str, Callable[[Floats], float]] = {"mean": mean, "std": std, "integer": integer}
"""Columns of a judgement that follow from its p(0..10)."""


def columns(probs_R: Sequence[float]) -> dict[str, float]:
    """``COLUMNS`` of one distribution."""
    values_R = np.array(probs_R)
    return {name: read(values_R) for name, read in COLUMNS.items()}


def _real(cfg: Select, row: Judgement) -> float:
    del cfg
    return float(row["mean"])


def _integer(cfg: Select, row: Judgement) -> float:
    del cfg
    return float(row["integer"])


def _risk_averse(cfg: Select, row: Judgement) -> float:
    """Arxiv 2503.03064."""
    return float(row["mean"]) - cfg.risk * float(row["std"])


READINGS: dict[str, Callable[[Select, Judgement], float]] = {
    "real": _real,
    "integer": _integer,
    "risk_averse": _risk_averse,
}
"""``Select.score`` → the judgement as one number."""


def score(cfg: Select, row: Judgement) -> float:
    """The judgement as one number, read as ``cfg`` says."""
    return READINGS[cfg.score](cfg, row)
