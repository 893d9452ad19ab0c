"""The methods, each once, over ``do(stage, section, **inputs)``.

A recipe is plain Python that calls ``do``. Called with a ``do`` that runs stages it is the method on one machine;
called with one that makes pipeline tasks it is the pipeline's definition. So it never looks at a result.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from alma.config import Method
from alma.sections import Section


class Do(Protocol):
    """Runs, traces or plans one stage and returns a handle for the inputs of later ones.

    ``label`` is what a person reads: "round 03 · respond". An input that is ``None`` is not given.
    """

    def __call__(self, stage: str, section: Section, *, label: str, **inputs: Any) -> Any:
        """The stage's artifact, or what stands for it."""


class Outcome(NamedTuple):
    """What a run leaves. ``judge`` is ``None`` for a method that trains none."""

    model: Any
    judge: Any
    report: Any


Recipe = Callable[[Any, Do], Outcome]


def recipe_of(cfg: Method) -> Recipe:
    """The recipe of the method that ``cfg`` sets: the function ``<root>`` of ``alma.recipes.<root>``."""
    recipe: Recipe = getattr(importlib.import_module(f"alma.recipes.{cfg.root}"), cfg.root)
    return recipe


def seed(cfg: Method, *path: str | int) -> int:
    """The seed of one use of a stage: follows from the run's seed and its name, so that no two are alike."""
    text = "/".join(str(step) for step in (cfg.seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
