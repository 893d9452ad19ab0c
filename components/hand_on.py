"""Component of the last task of a layer in which no step waits for all others: it hands on what they made."""

from __future__ import annotations

from typing import Any

from kfp import dsl

from components.made import STATE, made_names
from components.stage import IMAGE, container_component


def hand_on_component(num_steps: int) -> Any:
    """The component for a layer of so many steps; ``components.made`` has its parameters."""
    annotations: dict[str, Any] = {**dict.fromkeys(("store", "state", *made_names(num_steps)), str)}
    annotations[STATE] = dsl.OutputPath(str)

    def component(*given: Any) -> dsl.ContainerSpec:
        by_name = dict(zip(annotations, given, strict=True))
        args = ["--new-state", by_name[STATE], "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        return dsl.ContainerSpec(image=IMAGE, command=["alma", "hand-on"], args=args)

    return container_component(component, "hand_on", annotations)
