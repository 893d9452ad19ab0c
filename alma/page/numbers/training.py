"""Trainings: what was proven of the model, the loss, what it took."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from alma.page.numbers.estimate import Numbers, check_lengths

UNKNOWN = "unknown"
"""The device of an artifact whose ``cost.json`` is gone; its seconds and tokens are 0 and not known."""


class Check(Numbers):
    """One thing that was tried on a model (``alma.engines.ways.Finding``)."""

    check: str
    differs: float | None
    problem: str
    chosen: str


class Proof(Numbers):
    """What was found out about the model that is trained."""

    model_type: str
    checks: tuple[Check, ...]


class Training(Numbers):
    """The loss of one training, at most ``measure.LOSS_POINTS`` points of it."""

    step: Annotated[tuple[int, ...], Field(min_length=1)]
    loss: tuple[float, ...]
    num_steps: int
    num_tokens: int

    @model_validator(mode="after")
    def _of_each_step(self) -> Self:
        check_lengths(step=self.step, loss=self.loss)
        return self


class StageCost(Numbers):
    """What one artifact took."""

    ref: str
    stage: str
    seconds: float
    tokens: int
    device: str
