"""The pod of a stage in a Job: restricted Pod Security, a read-only root, credentials that may be absent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from alma.nodes import COUNT, RANK, RENDEZVOUS
from cluster.placement import StagePlacement

CONTAINER = "stage"
CACHE = "/cache"
"""Where the images expect fetched models and scratch files."""

RENDEZVOUS_PORT = 29500

S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
S3_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")

MLFLOW = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_WORKSPACE")
"""What KFP's MLflow plugin tells a task, none of it a secret; the pods of its Job are told the same."""

MLFLOW_LOGINS = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""What a task logs in there with. No pod of a Job is given it: a spec is no place for a password, and the pods have no
token of Kubernetes."""

Object = dict[str, Any]


def pod_template(
    name: str, arguments: list[str], placement: StagePlacement, labels: dict[str, str], more: Sequence[Object] = ()
) -> Object:
    """The template of the pods of Job ``name``, which run ``alma`` with ``arguments``; ``more`` are variables."""
    spec: Object = {
        "restartPolicy": "Never",  # a podFailurePolicy needs it
        "serviceAccountName": placement.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": placement.grace_seconds,
        "securityContext": _pod_security(placement),
        "containers": [_container(name, arguments, placement, more)],
        "volumes": _volumes(placement),
    }
    if placement.nodes > 1:
        spec["subdomain"] = name  # with the Service of that name each pod has a host name: NAME-INDEX.NAME
    if placement.node_selector:
        spec["nodeSelector"] = placement.node_selector
    if placement.tolerations:
        spec["tolerations"] = placement.tolerations
    if placement.affinity:
        spec["affinity"] = {"nodeAffinity": placement.affinity}
    if placement.priority_class:
        spec["priorityClassName"] = placement.priority_class
    if placement.pull_secret:
        spec["imagePullSecrets"] = [{"name": placement.pull_secret}]
    no_sidecar = {"sidecar.istio.io/inject": "false"}  # it would outlive the stage, and needs capabilities
    return {"metadata": {"labels": {**labels, **no_sidecar}}, "spec": spec}


def _pod_security(placement: StagePlacement) -> Object:
    context: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if placement.user is not None:
        context["runAsUser"] = placement.user
    if placement.fs_group is not None:
        # A claim of terabytes is not walked through at every start once its top folder is right.
        context |= {"fsGroup": placement.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return context


def _container(name: str, arguments: list[str], placement: StagePlacement, more: Sequence[Object]) -> Object:
    container: Object = {
        "name": CONTAINER,
        "image": placement.image,
        "command": ["alma"],
        "args": arguments,
        "env": [*_settings(name, placement), *_credentials(placement), *more],
        "resources": _resources(placement),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the last lines stay with the pod's status
        "volumeMounts": [
            {"name": volume["name"], "mountPath": f"/{volume['name'].replace('-', '/')}"}
            for volume in _volumes(placement)
        ],
    }
    if placement.nodes > 1:
        container["ports"] = [{"name": "rendezvous", "containerPort": RENDEZVOUS_PORT}]
    return container


def _settings(name: str, placement: StagePlacement) -> list[Object]:
    settings: list[Object] = [{"name": "ALMA_CACHE_BYTES", "value": placement.cache_size}]
    if placement.nodes > 1:
        index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        settings += [
            {"name": COUNT, "value": str(placement.nodes)},
            {"name": RANK, "valueFrom": {"fieldRef": {"fieldPath": index}}},
            {"name": RENDEZVOUS, "value": f"{name}-0.{name}:{RENDEZVOUS_PORT}"},
        ]
    return settings


def _credentials(placement: StagePlacement) -> list[Object]:
    """Optional all of them, so that a pod starts without and says what it lacks."""
    sources = (
        (placement.s3_secret, "secretKeyRef", S3_KEYS),
        (placement.s3_config, "configMapKeyRef", S3_SETTINGS),
        (placement.keys_secret, "secretKeyRef", placement.keys),
    )
    return [
        {"name": key, "valueFrom": {kind: {"name": source, "key": key, "optional": True}}}
        for source, kind, keys in sources
        if source
        for key in keys
    ]


def tracking(here: Mapping[str, str] = os.environ) -> tuple[list[Object], str]:
    """MLflow's variables of this task for the pods of its Job, and why they get none although there are some."""
    if not here.get("MLFLOW_TRACKING_URI"):
        return [], ""
    if logins := [name for name in MLFLOW_LOGINS if here.get(name)]:
        return (
            [],
            f"MLflow asks for a login ({', '.join(logins)}), which the pods of a Job do not have: no curves there",
        )
    return [{"name": name, "value": here[name].replace("$", "$$")} for name in MLFLOW if here.get(name)], ""


def _resources(placement: StagePlacement) -> Object:
    asked = {"cpu": placement.cpu, "memory": placement.memory}
    if placement.ephemeral_storage:
        asked["ephemeral-storage"] = placement.ephemeral_storage
    if placement.gpus:
        asked[placement.gpu_type] = str(placement.gpus)
    return {"requests": asked, "limits": dict(asked)}


def _volumes(placement: StagePlacement) -> list[Object]:
    """Mounted where their names say, a dash for a slash."""
    claim = placement.cache_pvc
    cache: Object = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}, {"name": CACHE.strip("/"), **cache}]
    if placement.shm_size:
        volumes.append({"name": "dev-shm", "emptyDir": {"medium": "Memory", "sizeLimit": placement.shm_size}})
    return volumes
