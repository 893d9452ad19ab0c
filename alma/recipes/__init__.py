"""The methods, each once, over ``do(stage, section, **inputs)``.

A recipe is plain Python that calls ``do``. Called with a ``do`` that runs stages it is the method on one machine;
called with one that makes pipeline tasks it is the pipeline's definition. So it never looks at a result.
"""

from __future__ import annotations

from typing import Any, Protocol

from alma.sections import Section


class Do(Protocol):
    """Runs, traces or plans one stage and returns a handle for the inputs of later ones.

    ``label`` is what a person reads: "round 03 · respond". An input that is ``None`` is not given.
    """

    def __call__(self, stage: str, section: Section, *, label: str, **inputs: Any) -> Any:
        """The stage's artifact, or what stands for it."""
