"""Component of the first task: what can be known to be wrong is said before any GPU is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kfp import dsl

from components.made import STATE
from components.stage import IMAGE, container_component


def preflight_component(sources: Sequence[str], form: Mapping[str, type], options: Sequence[str]) -> Any:
    """The component for a form with the fields ``source_<use>`` of these sources, and ``form`` with their types.

    ``options`` are more of the command line, fixed: what is compiled in.
    """
    fields = [f"source_{use}" for use in sources]
    annotations: dict[str, Any] = {**dict.fromkeys(("store", "changes", *fields), str), **form}
    annotations |= {STATE: dsl.OutputPath(str), "summary": dsl.Output[dsl.Markdown]}

    def component(*given: Any) -> dsl.ContainerSpec:
        by_name = dict(zip(annotations, given, strict=True))
        args: list[Any] = ["--store", by_name["store"], "--changes", by_name["changes"], *options]
        for use in sources:
            args += ["--source", f"{use}={by_name[f'source_{use}']}"]
        for name in form:
            args += ["--form", f"{name}={by_name[name]}"]
        args += ["--new-state", by_name[STATE], "--markdown", by_name["summary"].path]
        return dsl.ContainerSpec(image=IMAGE, command=["alma", "preflight"], args=args)

    return container_component(component, "preflight", annotations)
