"""The judge against people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from alma.page.numbers.estimate import Estimate, Numbers


class Reading(Numbers):
    """One way to read the judge, against people."""

    name: str
    accuracy: Estimate | None
    tied: float | None
    """Fraction of the pairs to which it gives equal scores."""
    spearman: float | None
    error: float
    """Mean absolute difference from the human score."""


class Bin(Numbers):
    """Responses that the judge scored between ``low`` and ``high``."""

    low: float
    high: float
    predicted: float
    human: Estimate


class JudgeValidation(Numbers):
    """The judge on held-out human scores."""

    num_rows: int
    num_unparsed: int
    readings: Annotated[tuple[Reading, ...], Field(min_length=1)]
    bins: tuple[Bin, ...]
    density: Annotated[tuple[tuple[float, float, int], ...], Field(min_length=1)]
    """(judge, human, rows), each score rounded to a half."""
