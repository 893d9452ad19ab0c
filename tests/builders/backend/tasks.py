"""The driver's part of a task: its inputs, executor input and cache key, and what its container is started with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.rules.limits import go_json
from tests.builders.backend.lines import INPUT, expand, resolve
from tests.builders.backend.values import Artifact, BackendError, Outputs, typed

RUN_ID = "metadata.labels['pipeline/runid']"
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")


@dataclass
class Scope:
    """What a layer's tasks can be given: the layer's own inputs, and what its earlier tasks left."""

    parameters: dict[str, Any]
    artifacts: dict[str, Artifact]
    made: dict[str, Outputs] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Of a run, for those of its placeholders that a task's input may be."""

    id: str
    name: str
    pipeline: str

    def constant(self, value: Any, task: str) -> Any:
        """A constant; a run's or task's placeholder, alone, is what it stands for."""
        if not isinstance(value, str):
            return value
        return {
            "{{$.pipeline_job_uuid}}": self.id,
            "{{$.pipeline_job_name}}": self.name,
            "{{$.pipeline_job_resource_name}}": self.name,
            "{{$.pipeline_task_name}}": task,
        }.get(value, value)


def inputs_of(
    task: Mapping[str, Any], component: Mapping[str, Any], scope: Scope, facts: Facts
) -> tuple[dict[str, Any], dict[str, Artifact]]:
    """Parameters and artifacts of a task or layer, as the driver resolves them."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {})
    parameters: dict[str, Any] = {}
    if "dag" in component:
        parameters = {n: one.get("defaultValue") for n, one in declared.items() if one.get("isOptional")}
    for name, source in given.get("parameters", {}).items():
        value = _parameter(name, source, task, scope, facts)
        if value is None and not declared.get(name, {}).get("isOptional"):
            raise BackendError(f"the resolved input parameter is null: {name}")
        if value is not None:
            parameters[name] = value
    for name, one in declared.items():
        if parameters.get(name) is not None:
            parameters[name] = typed(name, parameters[name], one["parameterType"])
        elif not one.get("isOptional"):
            raise BackendError(f"neither value nor default value provided for non-optional parameter {name!r}")
    return parameters, {n: _artifact(n, source, scope) for n, source in given.get("artifacts", {}).items()}


def _parameter(name: str, source: Mapping[str, Any], task: Mapping[str, Any], scope: Scope, facts: Facts) -> Any:
    if "componentInputParameter" in source:
        outer = source["componentInputParameter"]
        if outer not in scope.parameters:
            raise BackendError(f"parent DAG does not have input parameter {outer}")
        value = scope.parameters[outer]
    elif "taskOutputParameter" in source:
        made = source["taskOutputParameter"]
        left = scope.made.get(made["producerTask"])
        if left is None or made["outputParameterKey"] not in left.parameters:
            raise BackendError(
                f"producer task, {made['producerTask']}, has no output parameter {made['outputParameterKey']}"
            )
        value = left.parameters[made["outputParameterKey"]]
    elif "runtimeValue" in source:
        value = facts.constant(source["runtimeValue"]["constant"], task["taskInfo"]["name"])
    elif "taskFinalStatus" in source:
        producer = source["taskFinalStatus"]["producerTask"]
        if producer not in task.get("dependentTasks", []):
            raise BackendError(f"task {task['taskInfo']['name']} has no dependent tasks")
        state = "COMPLETE" if scope.states[producer] == "SUCCEEDED" else "FAILED"
        value = {"state": state, "pipelineJobResourceName": facts.name, "pipelineTaskName": producer, "error": {}}
    else:
        raise BackendError(f"parameter {name!r}: {source} is not implemented")
    if "parameterExpressionSelector" in source:
        raise BackendError(f"parameter {name!r}: an expression selector is not known here")
    return value


def _artifact(name: str, source: Mapping[str, Any], scope: Scope) -> Artifact:
    if "componentInputArtifact" in source:
        outer = source["componentInputArtifact"]
        if outer not in scope.artifacts:
            raise BackendError(f"parent DAG does not have input artifact {outer}")
        return scope.artifacts[outer]
    made = source["taskOutputArtifact"]
    left = scope.made.get(made["producerTask"])
    if left is None or made["outputArtifactKey"] not in left.artifacts:
        raise BackendError(f"cannot find output artifact key {made['outputArtifactKey']!r} in {made['producerTask']!r}")
    return left.artifacts[made["outputArtifactKey"]]


def executor_input(
    parameters: dict[str, Any], artifacts: dict[str, Artifact], component: Mapping[str, Any], uri: str, pod: Path
) -> dict[str, Any]:
    """The JSON that the driver makes: what a task gets, and where it is to leave what it makes."""
    declared = component.get("outputDefinitions", {})
    made = {
        name: {
            "artifacts": [
                {"name": name, "uri": f"{uri}/{name}", "type": one["artifactType"]}
                | ({"metadata": one["metadata"]} if "metadata" in one else {})
            ]
        }
        for name, one in declared.get("artifacts", {}).items()
    }
    files = {n: {"outputFile": str(pod / "tmp" / "kfp" / "outputs" / n)} for n in declared.get("parameters", {})}
    outputs = {"outputFile": str(pod / "tmp" / "kfp_outputs" / "output_metadata.json")}
    return {
        "inputs": {"parameterValues": parameters}
        | ({"artifacts": {n: {"artifacts": [a.record()]} for n, a in artifacts.items()}} if artifacts else {}),
        "outputs": outputs | ({"artifacts": made} if made else {}) | ({"parameters": files} if files else {}),
    }


def fingerprint(pipeline: str, given: Mapping[str, Any], container: Mapping[str, Any], component: Any) -> str:
    """KFP's cache key: inputs by value or number, outputs without their place, image and command line as compiled."""
    artifacts = given["inputs"].get("artifacts", {})
    outputs = component.get("outputDefinitions", {})
    key = {
        "inputArtifactNames": {n: [a["name"] for a in listed["artifacts"]] for n, listed in artifacts.items()},
        "inputParameterValues": given["inputs"]["parameterValues"],
        "outputArtifactsSpec": outputs.get("artifacts", {}),
        "outputParametersSpec": {n: one["parameterType"] for n, one in outputs.get("parameters", {}).items()},
        "containerSpec": {"image": container["image"], "cmdArgs": _words(container)},
    }
    return hashlib.sha256(f"pipeline/{pipeline} {go_json(key)}".encode()).hexdigest()


def _words(container: Mapping[str, Any]) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]


def command_line(
    container: Mapping[str, Any], given: dict[str, Any], component: Mapping[str, Any], variables: Any, pod: Path
) -> list[str]:
    """What the container is started with."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    defaults = {n: one["defaultValue"] for n, one in declared.items() if "defaultValue" in one}
    return resolve(_words(container), given, defaults, variables, pod)


def environment(container: Mapping[str, Any], settings: Mapping[str, Any], run_id: str) -> dict[str, str]:
    """The variables of a task's container, those that Kubernetes takes from the pod's labels among them."""
    variables: dict[str, str] = {}
    for one in settings.get("fieldPathAsEnv", []):
        if one["fieldPath"] != RUN_ID:
            raise BackendError(f"variable {one['name']}: {one['fieldPath']} is not known here")
        variables[one["name"]] = run_id
    for one in container.get("env", []):
        variables[one["name"]] = expand(one.get("value", ""), variables)
    return variables


def check_resources(container: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Refuses what the driver would read as an empty text; returns the image."""
    resources = container.get("resources", {})
    accelerator = resources.get("accelerator", {})
    for field_, compiled in resources.items():
        if field_.startswith("resource") and not QUANTITY.fullmatch(_of_pod(field_, compiled, parameters)):
            raise BackendError(f"{field_}: {compiled!r} is no quantity")
    if count := accelerator.get("resourceCount"):
        _of_pod("accelerator type", accelerator["resourceType"], parameters)
        if not QUANTITY.fullmatch(_of_pod("accelerator count", count, parameters)):
            raise BackendError(f"count of accelerators: {count!r} is no quantity")
    return _of_pod("image", container["image"], parameters)


def memory_limit(container: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """The most memory that the pod may take; empty where nothing is said."""
    return _of_pod("memory", container.get("resources", {}).get("resourceMemoryLimit", ""), parameters)


def _of_pod(what: str, compiled: str, parameters: Mapping[str, Any]) -> str:
    """A field of the pod: a parameter as a whole (what is around it is lost), or a constant."""
    found = INPUT.search(compiled)
    if not found:
        return compiled
    if found[1] not in parameters:
        raise BackendError(f"{what}: executor input did not contain the parameter {found[1]!r}")
    value = parameters[found[1]]
    if not isinstance(value, str) or not value or found[0] != compiled:
        raise BackendError(f"{what}: {value!r} by {compiled!r} is read as an empty text, and nothing is asked for")
    return value


def check_settings(settings: Any, scope: Scope) -> None:
    """Refuses platform settings by a parameter that the layer does not have."""
    if isinstance(settings, dict):
        name = settings.get("componentInputParameter")
        if isinstance(name, str) and name not in scope.parameters:
            raise BackendError(f"platform settings: parent DAG does not have input parameter {name}")
    for value in settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else ():
        check_settings(value, scope)
