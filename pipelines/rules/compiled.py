"""A compiled pipeline as the rules read it: layers, their tasks, and what each task runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Spec = Mapping[str, Any]

ROOT = "root"


@dataclass(frozen=True)
class Use:
    """One task of one layer."""

    layer: str
    """The layer's name: ``root``, or its component's."""

    key: str
    """The task's name in the layer."""

    task: Spec
    component: Spec
    container: Spec | None
    """What its executor runs; none for a layer."""

    executor: str | None

    def __str__(self) -> str:
        shown = self.task.get("taskInfo", {}).get("name", self.key)
        return f"{self.layer}/{self.key}" + (f" ({shown})" if shown != self.key else "")

    @property
    def given(self) -> Mapping[str, Spec]:
        """The parameters that the task gives, by name."""
        found: Mapping[str, Spec] = self.task.get("inputs", {}).get("parameters", {})
        return found

    @property
    def words(self) -> list[str]:
        """The command line, its placeholders unresolved."""
        container = self.container or {}
        return [*container.get("command", []), *container.get("args", [])]


class Compiled:
    """The two documents of a compiled pipeline."""

    def __init__(self, spec: Spec, platform: Spec) -> None:
        self.spec = spec
        self.platform = platform

    @cached_property
    def components(self) -> Mapping[str, Spec]:
        """Components by name, ``root`` not among them."""
        found: Mapping[str, Spec] = self.spec.get("components", {})
        return found

    @cached_property
    def executors(self) -> Mapping[str, Spec]:
        """Executors by label."""
        found: Mapping[str, Spec] = self.spec.get("deploymentSpec", {}).get("executors", {})
        return found

    @cached_property
    def settings(self) -> Mapping[str, Spec]:
        """What Kubernetes is asked for, by an executor's label."""
        kubernetes = self.platform.get("platforms", {}).get("kubernetes", {})
        found: Mapping[str, Spec] = kubernetes.get("deploymentSpec", {}).get("executors", {})
        return found

    @cached_property
    def layers(self) -> dict[str, Spec]:
        """What has tasks in it: the root, and every component that is a pipeline."""
        return {ROOT: self.spec["root"]} | {name: c for name, c in self.components.items() if "dag" in c}

    @cached_property
    def uses(self) -> list[Use]:
        """Every task of every layer."""
        return [self._use(layer, *item) for layer, c in self.layers.items() for item in c["dag"]["tasks"].items()]

    @cached_property
    def running(self) -> list[Use]:
        """The tasks that run a container."""
        return [use for use in self.uses if use.container is not None]

    def within(self, layer: str) -> list[Use]:
        """The tasks of one layer."""
        return [use for use in self.uses if use.layer == layer]

    def _use(self, layer: str, key: str, task: Spec) -> Use:
        component = self.components[task["componentRef"]["name"]]
        label = component.get("executorLabel")
        container = self.executors[label].get("container", {}) if label else None
        return Use(layer, key, task, component, container, label)

    def constants(self, layer: str, source: Spec) -> Iterator[Any]:
        """The values that are known when it is compiled and may arrive by ``source``, a task's parameter.

        Followed up through the layers to the defaults of the run's parameters.
        """
        if "runtimeValue" in source:
            yield source["runtimeValue"].get("constant")
        name = source.get("componentInputParameter")
        if name is None:
            return
        if layer == ROOT:
            yield self.declared(ROOT).get(name, {}).get("defaultValue")
        for use in self.uses:
            if use.task["componentRef"]["name"] == layer and name in use.given:
                yield from self.constants(use.layer, use.given[name])

    def declared(self, layer: str) -> Mapping[str, Spec]:
        """The parameters that a layer has."""
        found: Mapping[str, Spec] = self.layers[layer].get("inputDefinitions", {}).get("parameters", {})
        return found
