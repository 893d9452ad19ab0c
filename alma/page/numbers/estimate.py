"""A value with its interval, and what all numbers of a page have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from alma.statistics import mean_and_error, mean_over_groups, t_interval, wilson

MOST = 1e60
"""Of a number on a page, with either sign: its fourth power is one, too."""


def check_lengths(**columns: Sequence[object]) -> None:
    """Raises ``ValueError`` where columns that belong together are of different lengths."""
    if len({len(each) for each in columns.values()}) > 1:
        told = ", ".join(f"{name} has {len(each)}" for name, each in columns.items())
        raise ValueError(f"they belong together and are of different lengths: {told}")


class Numbers(BaseModel):
    """Base of all below: frozen, no unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        beyond = next((name for name, value in self if _is_beyond(value)), None)
        if beyond is not None:
            raise ValueError(f"{beyond} holds a number beyond {MOST:g}")
        return self


def _is_beyond(value: Any) -> bool:
    if isinstance(value, tuple | Mapping):
        return any(map(_is_beyond, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, int | float) and abs(value) > MOST


class Estimate(Numbers):
    """A value with its 95% interval; ``low`` and ``high`` are ``None`` where one row cannot tell."""

    value: float
    low: float | None
    high: float | None
    num: int

    @model_validator(mode="after")
    def _is_in_its_interval(self) -> Self:
        if self.low is None and self.high is None:
            return self
        if self.low is None or self.high is None or not self.low <= self.value <= self.high:
            raise ValueError(f"the interval from low = {self.low} to high = {self.high} does not hold {self.value}")
        return self

    @classmethod
    def mean(cls, values: npt.ArrayLike) -> Estimate | None:
        """Mean with Student's interval; ``None`` of nothing."""
        value, error = mean_and_error(values)
        return cls._student(value, error, np.size(values) - 1, np.size(values))

    @classmethod
    def over_groups(cls, groups: Iterable[npt.ArrayLike]) -> Estimate | None:
        """Mean of the groups' means; ``num`` groups. ``None`` without groups."""
        found = list(groups)
        return cls._student(*mean_over_groups(found), len(found))

    @classmethod
    def _student(cls, value: float, error: float, df: float, num: int) -> Estimate | None:
        if math.isnan(value):
            return None
        low, high = t_interval(value, error, df)
        known = not math.isnan(low)
        return cls(value=value, low=low if known else None, high=high if known else None, num=num)

    @classmethod
    def fraction(cls, k: int, n: int) -> Estimate | None:
        """k of n with Wilson's interval; ``None`` of nothing."""
        if n == 0:
            return None
        low, high = wilson(k, n)
        return cls(value=k / n, low=low, high=high, num=n)
