"""What one stage's pod gets of ``[placement]``: values that are compiled in, and fields of the form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from alma.sections import IngestModel, endpoint_of
from components.placement import ROLES, Placement


class Field(NamedTuple):
    """The value of a field of the form."""

    name: str


@dataclass(frozen=True)
class Pod:
    """What the pod of a task asks for; each a value, or the ``Field`` that holds it."""

    image: Any
    cpu: str
    memory: Any
    gpus: Any = None
    """``None`` where the pod has none."""

    gpu_type: Any = None
    shm: str | None = None
    timeout_seconds: int | None = None
    node_selector: Any = None
    tolerations: Any = None
    affinity: Any = None
    hub: bool = False
    """Whether it may read the Hub's token."""

    keys: tuple[str, ...] = ()
    """Variables of the keys of endpoints that it may read."""

    @property
    def fields(self) -> list[str]:
        """The fields of the form that it takes."""
        return [value.name for value in vars(self).values() if isinstance(value, Field)]


def pod_of(placement: Placement, stage: str, section: Any = None) -> Pod:
    """The pod of a stage's task, or of its Job; ``section`` is the task's, where it is known."""
    role, own = ROLES[stage], placement.stage(stage)
    of_role = placement.resources(role)
    gpus = of_role.gpus if own.gpus is None else own.gpus
    nodes: dict[str, Any] = {}
    if gpus:
        nodes = {
            "gpus": Field(f"gpus_{role}") if own.gpus is None else str(own.gpus),
            "gpu_type": placement.accelerator,
            "node_selector": Field("node_selector"),
            "tolerations": Field("node_tolerations"),
            "affinity": placement.affinity or None,
        }
    for name in ("node_selector", "tolerations", "affinity"):
        if getattr(own, name) is not None:
            nodes[name] = getattr(own, name)
    return Pod(
        image=own.image or Field(f"image_{'train' if _proves(section) else role}"),
        cpu=own.cpu or of_role.cpu,
        memory=own.memory or (of_role.memory if role == "base" else Field(f"memory_{role}")),
        shm=own.shm or of_role.shm or ("8Gi" if gpus else None),
        timeout_seconds=own.timeout_seconds or of_role.timeout_seconds,
        hub=stage in ("ingest", "examine"),  # an exam fetches its data sets
        keys=keys_of([section]),
        **nodes,
    )


def _proves(section: Any) -> bool:
    """Whether a model is ingested that is to be proven (``alma.engines.probe``): that takes torch, and no GPU."""
    return isinstance(section, IngestModel) and section.task == "generation"


def keys_of(sections: Iterable[Any]) -> tuple[str, ...]:
    """The variables of the keys of all endpoints that stages with these settings ask, each once."""
    asked = (endpoint_of(section) for section in sections if section is not None)
    return tuple(sorted({each.key_variable for each in asked if each is not None and each.key_variable}))


def small_pod(placement: Placement, image: str = "base", *, hub: bool = False, keys: tuple[str, ...] = ()) -> Pod:
    """The pod of a task that computes nothing to speak of."""
    return Pod(Field(f"image_{image}"), placement.base.cpu, placement.base.memory, hub=hub, keys=keys)
