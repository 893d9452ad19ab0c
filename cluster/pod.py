"""The pod of a stage in a Job: restricted Pod Security, a read-only root, credentials that may be absent."""

from __future__ import annotations

from typing import Any

from alma.nodes import COUNT, RANK, RENDEZVOUS
from cluster.placement import StagePlacement

CONTAINER = "stage"
CACHE = "/cache"
"""Where the images expect fetched models and scratch files."""

RENDEZVOUS_PORT = 29500

S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
S3_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")

Object = dict[str, Any]


def pod_template(name: str, arguments: list[str], placement: StagePlacement, labels: dict[str, str]) -> Object:
    """The template of the pods of Job ``name``, which run ``alma`` with ``arguments``."""
    spec: Object = {
        "restartPolicy": "Never",  # a podFailurePolicy needs it
        "serviceAccountName": placement.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": placement.grace_seconds,
        "securityContext": _pod_security(placement),
        "containers": [_container(name, arguments, placement)],
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


def _container(name: str, arguments: list[str], placement: StagePlacement) -> Object:
    container: Object = {
        "name": CONTAINER,
        "image": placement.image,
        "command": ["alma"],
        "args": arguments,
        "env": [*_settings(name, placement), *_credentials(placement)],
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
