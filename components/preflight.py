"""Component of the first task: what can be known to be wrong is said before any GPU is held."""

from collections.abc import Sequence
from inspect import Parameter, Signature
from typing import Any

from kfp import dsl

from components.container import IMAGE, RUN


def preflight_of(sections: Sequence[str], sources: Sequence[str], gpus: Sequence[str]) -> Any:
    """The component for a method with these sections and sources; each is a parameter, for each is a text of its own.

    A section's parameter has its name, a source's has ``_source`` behind it. ``gpus`` names the parameters that hold a
    number of GPUs.
    """
    names = ["store", "base_folder", "settings", "graph", *sections, *(f"{name}_source" for name in sources), *gpus]

    def preflight(*arguments: Any) -> dsl.ContainerSpec:
        """Checks parameters, store and sources."""
        given = dict(zip(names, arguments, strict=True))
        args: list[Any] = ["--store", given["store"], "--base", given["base_folder"], "--run", RUN]
        args += ["--settings", given["settings"], "--graph", given["graph"]]
        for name in sections:
            args += ["--section", dsl.ConcatPlaceholder([f"{name}=", given[name]])]
        for name in sources:
            args += ["--source", dsl.ConcatPlaceholder([f"{name}=", given[f"{name}_source"]])]
        for name in gpus:
            args += ["--gpus", dsl.ConcatPlaceholder([f"{name}=", given[name]])]
        return dsl.ContainerSpec(image=IMAGE, command=["alma", "preflight"], args=args)

    parameters = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=int if name in gpus else str) for name in names
    ]
    preflight.__signature__ = Signature(parameters, return_annotation=dsl.ContainerSpec)  # type: ignore[attr-defined]
    return dsl.container_component(preflight)
