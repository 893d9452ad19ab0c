"""The container of a stage: one command line for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kfp import dsl

IMAGE = "alma-base"
"""Stands in a component until the pipeline sets its role's image."""

RUN = dsl.PIPELINE_JOB_ID_PLACEHOLDER
"""The run's name in the store: KFP's id of the run, which ``alma status`` takes."""


def stage(
    name: str,
    given: dict[str, Any],
    *,
    inputs: Sequence[str] = (),
    optional: Sequence[str] = (),
    extra: Sequence[Any] = (),
) -> dsl.ContainerSpec:
    """The container that runs stage ``name``.

    ``given`` holds the component's arguments by name (its ``locals()``), ``inputs`` and ``optional`` name its ports;
    ``extra`` is appended to the command line.
    """
    args: list[Any] = [name, "--store", given["store"], "--config", given["config"], "--change", given["change"]]
    for port in inputs:
        args += ["--in", dsl.ConcatPlaceholder([f"{port}=", given[port].path])]
    for port in optional:
        args.append(_if_given(port, ["--in", dsl.ConcatPlaceholder([f"{port}=", given[port].path])]))
    args += [
        *("--label", given["label"], "--run", RUN, "--log", "json"),
        *("--out", given["manifest"].path, "--markdown", given["summary"].path),
        *("--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER),
        *extra,
    ]
    return dsl.ContainerSpec(image=IMAGE, command=["alma", "stage"], args=args)


def _if_given(name: str, then: list[Any]) -> Any:
    return dsl.IfPresentPlaceholder(input_name=name, then=then)
