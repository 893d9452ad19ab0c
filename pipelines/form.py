"""The fields of a pipeline's form: what a person changes from run to run, with the run file's values as defaults.

The dashboard lists them alphabetically, so names that belong together begin alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alma.config import Method
from alma.errors import ConfigError
from alma.recipes.graph import graph
from alma.sections import Ingest
from components.placement import ENGINES, Placement
from components.resolve import pod_of
from pipelines.rules.limits import PARAMETERS

REQUIRED: Any = object()
"""The default of a field that has none."""


@dataclass(frozen=True)
class Field:
    """One field of the form."""

    name: str
    kind: type
    default: Any
    help: str


def form(cfg: Method, placement: Placement) -> list[Field]:
    """All fields, alphabetically. Raises ``ConfigError`` where they are too many."""
    steps = graph(cfg)
    used = {name for step in steps for name in pod_of(placement, step.stage, step.section).fields}
    listed = [
        Field("changes", str, "", f"settings to change, one a line, such as {cfg.root}.seed=2 (docs/settings.md)"),
        Field("store", str, placement.store or REQUIRED, "s3://bucket/prefix that holds the artifacts"),
        *(
            Field(f"source_{use}", str, section.source, f"where {use} lies: a path in the image, s3:// or hf://")
            for use, section in sources(cfg).items()
        ),
        *_of_roles(placement, used, jobs=any(placement.is_job(step.stage) for step in steps)),
        *_of_gpus(placement, used),
    ]
    if len(listed) > PARAMETERS:
        raise ConfigError(f"the pipeline's form has {len(listed)} fields and {PARAMETERS} are readable")
    for field in listed:
        if isinstance(field.default, str) and not field.default.isprintable():
            raise ConfigError(
                f"{field.name} = {field.default!r}: a line of the form holds no line break and no control character"
            )
    return sorted(listed, key=lambda field: field.name)


def sources(cfg: Method) -> dict[str, Ingest]:
    """What comes from outside, by use: those sources that a step takes. Evaluators' own are compiled in."""
    taken = {step.use for step in graph(cfg)} & set(cfg.sources)
    return {use: section for use, section in cfg.uses.items() if use in taken and isinstance(section, Ingest)}


def _of_roles(placement: Placement, used: set[str], *, jobs: bool) -> list[Field]:
    """Of images and memory; a field that no stage of a role would take is left out."""
    listed = [Field("image_base", str, placement.images.base, "image of the base pods")]  # also of layers' last tasks
    for role in ENGINES:
        memory = placement.resources(role).memory
        fields = (
            Field(f"image_{role}", str, getattr(placement.images, role), f"image of the {role} pods"),
            Field(f"memory_{role}", str, memory, f"memory of a {role} pod, such as {memory}"),
        )
        listed += [field for field in fields if field.name in used]
    if jobs:
        listed.append(Field("image_submit", str, placement.images.submit, "image of what makes and follows Jobs"))
    return listed


def _of_gpus(placement: Placement, used: set[str]) -> list[Field]:
    listed = [
        Field(f"gpus_{role}", str, str(placement.resources(role).gpus), f"GPUs of a {role} pod, a whole number")
        for role in sorted(("base", *ENGINES))
        if f"gpus_{role}" in used
    ]
    every = [
        Field("node_selector", dict, placement.node_selector, "labels of the nodes of GPU pods, JSON"),
        Field("node_tolerations", list, placement.tolerations, "taints that GPU pods tolerate, JSON"),
    ]
    return listed + [field for field in every if field.name in used]
