"""The patch of a task's pod as KFP's driver makes it: the launcher with its executor input, command line, variables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.rules.commands import PARAMETER
from pipelines.rules.compiled import Compiled, Spec, Use
from pipelines.rules.limits import compact, go_json

RUN = "3f2c9d41-7b60-4a55-9e1c-0d8f5a6b7c21"
"""Stands for a run's id."""

METADATA = {"display_name": "artifact"}
"""Of every artifact, beside its address."""

HANDED_ON = "0123456789abcdef0123"
"""Stands for an output parameter of a task: a key."""


def patch(compiled: Compiled, use: Use) -> dict[str, Any]:
    """The patch of a task's pod, as its driver makes it."""
    container = use.container or {}
    values = {name: _value(compiled, use, source) for name, source in use.given.items()}
    command = ["/kfp-launcher/launch", "--pipeline_name", compiled.spec["pipelineInfo"]["name"]]
    command += ["--run_id", RUN, "--execution_id", "123"]
    command += ["--executor_input", compact(executor_input(compiled, use, values))]
    command += ["--component_spec", compact(use.component), "--pod_name", "$(KFP_POD_NAME)"]
    command += ["--pod_uid", "$(KFP_POD_UID)", "--mlmd_server_address", "metadata-grpc-service.kubeflow.svc"]
    command += ["--mlmd_server_port", "8080", "--publish_logs", "true", "--"]
    main = {
        "name": "main",
        "image": _filled(container.get("image", ""), values),
        "command": command,
        "args": [_filled(word, values) for word in use.words],
        "env": [*container.get("env", []), *_variables(compiled, use)],
        "resources": {half: {"cpu": "2", "memory": "8Gi"} for half in ("limits", "requests")},
    }
    mounts = compiled.settings.get(use.executor or "", {}).get("emptyDirMounts", [])
    main["volumeMounts"] = [{"name": one["volumeName"], "mountPath": one["mountPath"]} for one in mounts]
    volumes = [{"name": one["volumeName"], "emptyDir": {}} for one in mounts]
    return {"volumes": volumes, "containers": [main]}


def _variables(compiled: Compiled, use: Use) -> Iterator[dict[str, Any]]:
    """Variables from secrets, config maps and fields of the pod."""
    settings = compiled.settings.get(use.executor or "", {})
    for source, reference, key in (
        ("secretAsEnv", "secretKeyRef", "secretKey"),
        ("configMapAsEnv", "configMapKeyRef", "configMapKey"),
    ):
        for one in settings.get(source, []):
            for pair in one["keyToEnv"]:
                value = {"name": "alma-s3", "key": pair[key], "optional": True}
                yield {"name": pair["envVar"], "valueFrom": {reference: value}}
    for one in settings.get("fieldPathAsEnv", []):
        yield {"name": one["name"], "valueFrom": {"fieldRef": {"fieldPath": one["fieldPath"]}}}


def executor_input(compiled: Compiled, use: Use, values: Mapping[str, Any]) -> dict[str, Any]:
    """A task's executor input: its parameters, and records of its artifacts."""
    root = f"minio://mlpipeline/v2/artifacts/{compiled.spec['pipelineInfo']['name']}/{RUN}"
    shown = str(use.task.get("taskInfo", {}).get("name", use.key)).replace(" ", "-")
    declared = use.component.get("outputDefinitions", {})

    def record(name: str, folder: str, kind: Any, metadata: dict[str, str]) -> dict[str, Any]:
        uri = f"{root}/{folder}/{_uuid(folder)}/{name}"
        return {"artifacts": [{"name": name, "type": kind, "uri": uri, "metadata": metadata}]}

    taken = use.task.get("inputs", {}).get("artifacts", {})
    kinds = use.component.get("inputDefinitions", {}).get("artifacts", {})
    metadata = {
        **METADATA,
        "address": f"s3://bucket/prefix/of-the-store/{shown[-8:]}/{digest(shown)[:20]}",
        "store_session_info": '{"Provider":"minio","Params":{"accessKeyKey":"accesskey","disableSSL":"true",'
        '"endpoint":"seaweedfs.kubeflow:9000","forcePathStyle":"true","fromEnv":"false","region":"minio",'
        '"secretKeyKey":"secretkey","secretName":"mlpipeline-minio-artifact"}}',
    }
    inputs = {n: record(n, f"{use.key}-{n}", kinds.get(n, {}).get("artifactType"), metadata) for n in taken}
    made = {n: record(n, shown, one["artifactType"], {}) for n, one in declared.get("artifacts", {}).items()}
    made["executor-logs"] = record("executor-logs", shown, {"schemaTitle": "system.Artifact"}, {})
    files = {n: {"outputFile": f"/tmp/kfp/outputs/{n}"} for n in declared.get("parameters", {})}  # noqa: S108
    return {
        "inputs": {"parameterValues": dict(values), "artifacts": inputs},
        "outputs": {"artifacts": made, "parameters": files, "outputFile": "/tmp/kfp_outputs/output_metadata.json"},  # noqa: S108
    }


def _value(compiled: Compiled, use: Use, source: Spec) -> Any:
    """A parameter's value: a constant, a default of the run, or a key that another task hands on."""
    known = [value for value in compiled.constants(use.layer, source) if value is not None]
    if "taskFinalStatus" in source:
        return {"state": "COMPLETE", "pipelineTaskName": source["taskFinalStatus"]["producerTask"]}
    return known[0] if known else HANDED_ON


def _filled(word: str, values: Mapping[str, Any]) -> str:
    """A word with its parameters in place."""

    def value(name: str) -> str:
        found = values.get(name, "")
        return found if isinstance(found, str) else go_json(found)

    return PARAMETER.sub(lambda found: value(found[1]), word)


def digest(text: str) -> str:
    """Text that is as random as what a cluster draws, and the same every time."""
    return hashlib.sha256(text.encode()).hexdigest()


def _uuid(text: str) -> str:
    found = digest(text)
    return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:32]}"
