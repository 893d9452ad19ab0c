"""The component of one use of a stage: a command line, and exactly the ports that this use has.

KFP's driver and launcher resolve nothing in a command line but parameters and the paths of artifacts, and a parameter
only where the task gives it; so there are no optional ports and no defaults. Parameters reach the program by the
executor input, ``{{$}}``, and not one by one: a workflow object would hold each value seven times more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

from kfp import dsl

from components.made import STATE, made_names
from components.outputs import Output

IMAGE = "alma-base"
"""Stands in a component until its pod's image is set."""

REF = "ref"
"""The output parameter that holds the artifact's name, ``stage/key``."""

EARLIER = "@"
"""Before the label of a step of an earlier layer."""


PARAMETERS = ("store", "state", "use", "change", "label")
"""What every stage's task is given: the store, the run's ledger, the section, the recipe's changes to it, a name.
``alma.running.executor_input`` reads them."""


def stage_component(
    stage: str,
    artifacts: Mapping[str, Any],
    earlier: Sequence[str],
    output: Output,
    *,
    command: Sequence[str] = ("alma", "stage"),
    options: Sequence[str] = (),
    hands_on: int | None = None,
) -> Any:
    """The component that runs ``stage``.

    ``artifacts`` are ports that steps of the same layer feed, with their types; ``earlier`` ports that steps of earlier
    layers feed: parameters that hold ``@`` and the step's label, which the ledger knows. ``options`` are more of the
    command line, fixed. With ``hands_on`` the task is the last of its layer: it hands on what it and so many others
    made (``components.made``).
    """
    annotations: dict[str, Any] = dict.fromkeys(PARAMETERS, str)
    annotations |= {port_name(port): str for port in earlier}
    annotations |= {port_name(port): dsl.Input[type_] for port, type_ in artifacts.items()}
    annotations |= {output.name: dsl.Output[output.type], REF: dsl.OutputPath(str)}
    if output.metrics:
        annotations["metrics"] = dsl.Output[dsl.Metrics]
    if output.summary:
        annotations["summary"] = dsl.Output[dsl.Markdown]
    if hands_on is not None:
        annotations |= dict.fromkeys(made_names(hands_on), str) | {STATE: dsl.OutputPath(str)}

    def component(*given: Any) -> dsl.ContainerSpec:
        by_name = dict(zip(annotations, given, strict=True))
        args: list[Any] = [stage]
        for port in artifacts:
            args += ["--in", f"{port}={by_name[port_name(port)].path}"]
        page = output.type is dsl.HTML
        args += ["--html" if page else "--out", by_name[output.name].path, "--ref", by_name[REF], "--log", "json"]
        if output.summary:
            args += ["--markdown", by_name["summary"].path]
        if hands_on is not None:
            args += ["--new-state", by_name[STATE]]
        args += ["--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, *options]
        return dsl.ContainerSpec(image=IMAGE, command=list(command), args=args)

    return container_component(component, stage, annotations)


def port_name(port: str) -> str:
    """An input's name in KFP: an output of the task may have the port's own."""
    return f"in_{port}"


def container_component(function: Any, name: str, annotations: Mapping[str, Any]) -> Any:
    """KFP's component of a ``function`` of these parameters, which KFP reads from a signature."""
    function.__name__ = name
    function.__signature__ = Signature(
        [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind) for each, kind in annotations.items()],
        return_annotation=dsl.ContainerSpec,
    )
    return dsl.container_component(function)
