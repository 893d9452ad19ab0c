"""What Argo would store of a run: its nodes, and its workflow's spec.

A container task is six nodes: the driver's retry and pod hold its component, task, container and Kubernetes settings,
and the patch of its pod as their output; the executor's four hold that patch as input. So a patch is stored six times.
A layer is a driver's two and two of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from pipelines.patch import digest, patch
from pipelines.rules.compiled import ROOT, Compiled, Spec, Use
from pipelines.rules.limits import compact, go_json

EXECUTOR = "system-container-impl"
"""Argo's template of the pods that run a task's container."""

FIXED_SPEC_BYTES = 20_000
"""Templates that every workflow has."""


class Workflow:
    """What Argo would hold of a run."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.name = f"{compiled.spec['pipelineInfo']['name']}-x7k2p"

    @cached_property
    def nodes(self) -> dict[str, Any]:
        """Every node by its id; ids are in no order, as Argo's hashes are."""
        listed = list(self._layer(ROOT, self.name, self.compiled.spec["root"], None))
        return {node["id"]: node for node in sorted(listed, key=lambda node: str(node["id"]))}

    @property
    def num_pods(self) -> int:
        """Drivers and executors."""
        return sum(node["type"] == "Pod" for node in self.nodes.values())

    @property
    def num_tasks(self) -> int:
        """Those that run a container."""
        return sum(node["templateName"] == EXECUTOR for node in self.nodes.values())

    def _layer(self, layer: str, path: str, component: Spec, use: Use | None) -> Iterator[dict[str, Any]]:
        """A layer's driver, its own nodes, and those of its tasks."""
        task = use.task if use else {}
        inputs = {
            "component": compact(component),
            "task": compact(task),
            "parent-dag-id": "17",
            "iteration-index": "-1",
        }
        if use is None:
            defaults = {n: one.get("defaultValue", "") for n, one in self.compiled.declared(ROOT).items()}
            inputs["runtime-config"] = compact({"parameterValues": defaults})
        inputs["driver-type"] = "DAG" if use else "ROOT_DAG"
        yield from self._driver(f"{path}.driver", inputs, {"execution-id": "18", "condition": "nil"}, "dag-driver")
        for own in (path, f"{path}:dag"):
            yield self._node(own, "DAG", {"parent-dag-id": "18"}, {}, layer)
        for inner in self.compiled.within(layer):
            below = f"{path}.{inner.key}"
            if inner.container is None:
                yield from self._layer(inner.task["componentRef"]["name"], below, inner.component, inner)
            else:
                yield from self._task(below, inner)

    def _task(self, path: str, use: Use) -> Iterator[dict[str, Any]]:
        patched = compact(patch(self.compiled, use))
        inputs = {
            "component": compact(use.component),
            "task": compact(use.task),
            "container": compact(use.container),
            "parent-dag-id": "18",
            "iteration-index": "-1",
            "driver-type": "CONTAINER",
            "kubernetes-config": compact(self.compiled.settings.get(use.executor or "", {})),
        }
        outputs = {"pod-spec-patch": patched, "cached-decision": "false", "condition": "nil"}
        yield from self._driver(f"{path}-driver", inputs, outputs, "container-driver")
        given = {"pod-spec-patch": patched, "cached-decision": "false"}
        for suffix, kind in (("", "DAG"), (".executor", "DAG"), (".executor.retry", "Retry")):
            yield self._node(f"{path}{suffix}", kind, given, {}, "system-container-executor")
        yield self._node(f"{path}.executor.retry(0)", "Pod", given, {}, EXECUTOR)

    def _driver(self, path: str, inputs: Any, outputs: Any, template: str) -> Iterator[dict[str, Any]]:
        for suffix, kind in (("", "Retry"), ("(0)", "Pod")):
            yield self._node(path + suffix, kind, inputs, outputs, f"system-{template}")

    def _node(self, path: str, kind: str, inputs: Any, outputs: Any, template: str) -> dict[str, Any]:
        """A node as Argo 4.0 writes it; its neighbours' ids stand for those it would have."""
        node_id, above = self._id(path), path.rpartition(".")[0]
        left: dict[str, Any] = {"parameters": _listed(outputs)} if outputs else {}
        if kind == "Pod":
            log = f"private-artifacts/kubeflow/{self.name}/2026/11/28/{node_id}/main.log"
            left |= {"artifacts": [{"name": "main-logs", "s3": {"key": log}}], "exitCode": "0"}
        number = int(digest(path), 16)
        node: dict[str, Any] = {
            "id": node_id,
            "name": path,
            "displayName": path.rpartition(".")[2],
            "type": kind,
            "templateName": template,
            "templateScope": f"local/{self.name}",
            "phase": "Succeeded",
            "boundaryID": self._id(above),
            "startedAt": f"2026-11-28T{_clock(number)}Z",
            "finishedAt": f"2026-11-28T{_clock(number // 7)}Z",
            "estimatedDuration": number % 97,
            "progress": "1/1",
            "resourcesDuration": {"cpu": number % 31, "memory": number % 997},
            "inputs": {"parameters": _listed(inputs)},
            "children": [self._id(path + "+"), self._id(above + "+")],
        }
        if left:
            node["outputs"] = left
        if kind == "Pod":
            node |= {"hostNodeName": f"node-{number % 5}.cluster.example", "taskResultSynced": True}
            node["nodeFlag"] = {"retried": True}
        else:
            node["outboundNodes"] = [self._id(path + "-"), self._id(above + "-")]
        return node

    def _id(self, path: str) -> str:
        """Argo's id of a node: a hash of its name."""
        return f"{self.name}-{int(digest(path)[:8], 16)}"

    @cached_property
    def spec_bytes(self) -> int:
        """Of the workflow's spec: layers, distinct containers with a component each, tasks with their settings."""
        layers = [go_json(component) for component in self.compiled.layers.values()]
        components = {go_json(use.container): go_json(use.component) for use in self.compiled.running}
        settings = [go_json(one) for one in self.compiled.settings.values()]
        texts = [*layers, *components, *components.values(), *settings]
        arguments = [{"name": f"components-{digest(text)}", "value": text} for text in texts]
        tasks = [part for use in self.compiled.uses for part in _template(use)]
        return FIXED_SPEC_BYTES + len(go_json(arguments).encode()) + len(go_json(tasks).encode())


def _template(use: Use) -> Iterator[dict[str, Any]]:
    """A task in its layer's template: one for its driver, one for its executor or layer."""
    component = f"{{{{workflow.parameters.components-{digest(use.key)}}}}}"
    given = {
        "component": component,
        "task": go_json(use.task),
        "task-name": use.key,
        "parent-dag-id": "{{inputs.parameters.parent-dag-id}}",
    }
    if use.container is not None:
        given["container"] = component
        given["kubernetes-config"] = f"{{{{workflow.parameters.kubernetes-comp-{use.key}}}}}"
    before = " && ".join(f"{name}.Succeeded" for name in use.task.get("dependentTasks", []))
    driver = {"name": f"{use.key}-driver", "template": "system-container-driver", "depends": before}
    yield driver | {"arguments": {"parameters": _listed(given)}}
    made = f"{{{{tasks.{use.key}-driver.outputs.parameters.pod-spec-patch}}}}"
    given = {"pod-spec-patch": made, "cached-decision": made.replace("pod-spec-patch", "cached-decision")}
    given |= {f"retry-{name}": str(value) for name, value in use.task.get("retryPolicy", {}).items()}
    executor = {"name": use.key, "template": "system-container-executor", "depends": f"{use.key}-driver.Succeeded"}
    yield executor | {"arguments": {"parameters": _listed(given)}}


def _listed(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _clock(number: int) -> str:
    return f"{number % 24:02}:{number // 24 % 60:02}:{number // 1440 % 60:02}"
