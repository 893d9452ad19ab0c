"""Trainings: what was proven of the model, the loss, what it took."""

from __future__ import annotations

from alma.page.numbers.estimate import Numbers

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

    step: tuple[int, ...]
    loss: tuple[float, ...]
    num_steps: int
    num_tokens: int


class StageCost(Numbers):
    """What one artifact took."""

    ref: str
    stage: str
    seconds: float
    tokens: int
    device: str
