"""A recipe as a graph: what it would do, with nothing done.

The pipeline is made from the same steps, and a pod compares them with those of the settings that it was given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alma.config import Method
from alma.pace import BETWEEN
from alma.recipes import Recipe, recipe_of
from alma.sections import Section


@dataclass(frozen=True)
class Step:
    """One use of a stage."""

    label: str
    """What a person reads: "round 03 · respond"."""

    stage: str
    use: str
    """The section of the run file that this step's settings come from: ``initial`` and ``train`` both finetune."""

    changes: Mapping[str, Any]
    """What the recipe set over that section: seeds, the round, where its prompts begin."""

    section: Section
    inputs: Mapping[str, str]
    """Port → label of the step whose artifact it takes."""

    @property
    def layer(self) -> str:
        """The part of the run that this step belongs to: "round 03"; ``SOURCES`` for what comes from outside."""
        return self.label.rpartition(BETWEEN)[0] or SOURCES

    @property
    def name(self) -> str:
        """What the step is called in its layer: "respond"."""
        return self.label.rpartition(BETWEEN)[2]


SOURCES = "seeds"
"""The layer of the steps whose labels name none."""


def layers(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Layer → its steps, in an order in which layers can run one after another.

    A recipe may go back to a layer for a step that nothing in between needs; none may need a later layer.
    """
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.layer, []).append(step)
    order = {name: place for place, name in enumerate(found)}
    layer_of = {step.label: step.layer for step in steps}
    for step in steps:
        late = [label for label in step.inputs.values() if order[layer_of[label]] > order[step.layer]]
        assert not late, f"{step.label} is in the layer {step.layer!r} and needs {late[0]!r}, which comes after it"
    return found


def graph(cfg: Method, recipe: Recipe | None = None) -> list[Step]:
    """The steps of ``recipe`` (default: the method's own), in an order in which they can run."""
    steps: list[Step] = []

    def do(stage: str, section: Section, *, label: str, **inputs: str | None) -> str:
        given = {port: source for port, source in inputs.items() if source}
        steps.append(Step(label, stage, use_of(cfg, section), section.changes, section, given))
        return label

    (recipe or recipe_of(cfg))(cfg, do)
    return steps


def use_of(cfg: Method, section: Section) -> str:
    """The name in the run file of the section that ``section`` was made from."""
    return next(name for name, given in cfg.uses.items() if given is section.origin)


def differences(compiled: Mapping[str, Mapping[str, Any]], steps: Sequence[Step]) -> list[str]:
    """Where ``steps`` are not those of a pipeline that was compiled with ``shape(steps)``; a line each."""
    now = shape(steps)
    lines = [f"{label}: in the pipeline, and not in these settings" for label in compiled if label not in now]
    lines += [f"{label}: in these settings, and not in the pipeline" for label in now if label not in compiled]
    for label in now:
        before = compiled.get(label, now[label])
        for what in sorted(set(before) | set(now[label])):
            if before.get(what) != now[label].get(what):
                lines.append(f"{label}: {what} is {now[label].get(what)!r}, and {before.get(what)!r} was compiled")
    return lines


def shape(steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """All of a graph that is fixed when it is compiled, as plain JSON values: label → changes and inputs."""
    return {
        step.label: {**step.changes, **{f"in.{port}": label for port, label in step.inputs.items()}} for step in steps
    }


def fingerprint(steps: Sequence[Step]) -> str:
    """12 hex digits of a hash of ``shape``: equal for equal graphs."""
    text = json.dumps(shape(steps), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
