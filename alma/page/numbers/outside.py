"""A checkpoint as somebody outside judges it: who the run never selects or trains by."""

from __future__ import annotations

from typing import Literal

from alma.page.numbers.estimate import Estimate, Numbers


class OutsideMeasure(Numbers):
    """One number that an evaluator gives a checkpoint."""

    name: str
    """What it is called in files: letters, digits and underscores."""
    label: str
    better: Literal[-1, 0, 1]
    """1 where more is better, -1 where less is, 0 where neither is."""
    fraction: bool
    estimate: Estimate
    num_missing: int = 0
    """Prompts that it says nothing about."""
    values: tuple[float | None, ...] = ()
    """Each prompt's, in the order of their ids; empty where the evaluator tells none, or not on these prompts."""
    prompts_digest: str = ""
    """Equal for equal prompts: then ``values`` are pairs."""


class Outside(Numbers):
    """One evaluator on one checkpoint."""

    name: str
    """What the run file calls it."""
    kind: str
    judged_by: str
    """The model or the tasks that judged: two checkpoints are comparable where it is the same."""
    measures: tuple[OutsideMeasure, ...]
    """The first is its main one."""
    num_paid_tokens: int = 0
    """Read and written at an endpoint."""
