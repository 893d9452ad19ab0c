"""Pods: what a task asks of Kubernetes, and whether it runs at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.rules.commands import PARAMETER
from pipelines.rules.compiled import Compiled, Spec, Use

RESOURCES = ("resourceCpuLimit", "resourceCpuRequest", "resourceMemoryLimit", "resourceMemoryRequest")


def counts_are_text(compiled: Compiled) -> Iterator[str]:
    """Image, CPUs, memory and accelerators come from texts: a number is read as "" and nothing is asked for."""
    for use in compiled.running:
        container = use.container or {}
        resources = container.get("resources", {})
        accelerator = resources.get("accelerator", {})
        fields = {"image": container.get("image", "")} | {name: resources.get(name, "") for name in RESOURCES}
        fields |= {f"accelerator.{name}": accelerator.get(name, "") for name in ("resourceCount", "resourceType")}
        for field, text in fields.items():
            for name in PARAMETER.findall(str(text)):
                kind = kind_of(compiled, use, name)
                if kind != "STRING":
                    yield (
                        f"{use}: {field} comes from the parameter {name!r}, which is {kind}: KFP's driver reads that "
                        "as an empty text; declare it as str"
                    )


def kind_of(compiled: Compiled, use: Use, name: str) -> str:
    """The type of what a task gets as ``name``: a parameter's type as KFP writes it, or "not given"."""
    source = use.given.get(name)
    if source is None:
        return "not given"
    constant = source.get("runtimeValue", {}).get("constant")
    if "runtimeValue" in source:
        return "STRING" if isinstance(constant, str) else type(constant).__name__
    if "componentInputParameter" in source:
        outer = compiled.declared(use.layer).get(source["componentInputParameter"], {})
        return str(outer.get("parameterType", "not given"))
    made = source.get("taskOutputParameter", {})
    producer = compiled.layers[use.layer]["dag"]["tasks"].get(made.get("producerTask"), {})
    component = compiled.components.get(producer.get("componentRef", {}).get("name"), {})
    outputs = component.get("outputDefinitions", {}).get("parameters", {})
    return str(outputs.get(made.get("outputParameterKey"), {}).get("parameterType", "not given"))


def settings_have_an_executor(compiled: Compiled) -> Iterator[str]:
    """No settings for an executor that is not there: they would be lost."""
    for label in sorted(set(compiled.settings) - set(compiled.executors)):
        yield f"platform settings for {label}, which no executor has: compile the pipeline as a whole, with this KFP"


def settings_reach_their_layer(compiled: Compiled) -> Iterator[str]:
    """A parameter in a task's platform settings is looked up among the parameters of the task's layer."""
    for use in compiled.running:
        for name in sorted(
            set(_taken(compiled.settings.get(use.executor or "", {}))) - set(compiled.declared(use.layer))
        ):
            yield (
                f"{use}: its platform settings use the parameter {name!r}, which the layer {use.layer} does not have: "
                "KFP's driver says 'parent DAG does not have input parameter'; pass it into the layer"
            )


def _taken(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        if isinstance(settings.get("componentInputParameter"), str):
            yield settings["componentInputParameter"]
        for value in settings.values():
            yield from _taken(value)
    if isinstance(settings, list):
        for value in settings:
            yield from _taken(value)


def never_root(compiled: Compiled) -> Iterator[str]:
    """Restricted Pod Security admits a task only if its pod says that it is not root."""
    for use in compiled.running:
        context = compiled.settings.get(use.executor or "", {}).get("securityContext", {})
        if context.get("runAsNonRoot") is not True:
            yield (
                f"{use}: a namespace with restricted Pod Security would refuse its pod; "
                "kubernetes.set_security_context(task, run_as_non_root=True)"
            )


def last_task_runs(compiled: Compiled) -> Iterator[str]:
    """The last task of a layer is never taken from KFP's cache: a layer of hits alone stays "running" for ever."""
    for layer in compiled.layers:
        for use in last_tasks(compiled, layer):
            if use.container is not None and use.task.get("cachingOptions", {}).get("enableCache"):
                yield (
                    f"{use}: nothing in the layer waits for it, and it may be cached: KFP never ends a layer whose "
                    "last task was a cache hit; set_caching_options(False)"
                )


def last_tasks(compiled: Compiled, layer: str) -> list[Use]:
    """The tasks of a layer that no other task of it waits for; one that only an exit handler's task follows is one."""
    uses = compiled.within(layer)
    waited = {before for use in uses if not _exit(use.task) for before in use.task.get("dependentTasks", [])}
    return [use for use in uses if use.key not in waited]


def _exit(task: Spec) -> bool:
    return bool(task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")
