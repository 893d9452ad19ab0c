"""What keeps a pod from starting and what a failed one died of, in one sentence that names the field to change."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from cluster.placement import StagePlacement
from cluster.pod import CONTAINER, Object

INDEX = "batch.kubernetes.io/job-completion-index"

PULLING = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


MOST_CHARS = 2000
"""Of a message, and of a line of a pod's log, which may be of any length."""


class Waiting(NamedTuple):
    """Why a pod does not start. ``hopeless``: nothing that the cluster does by itself will change it."""

    what: str
    """Of which kind: the same one shows under changing words."""

    message: str
    hopeless: bool = False


class Death(NamedTuple):
    """How a failed pod ended."""

    pod: str
    code: int | None
    """The container's exit code, if it ran."""

    message: str
    error: dict[str, Any] | None = None
    """What the stage said last of itself: the event ``error``."""

    lines: tuple[str, ...] = ()


def waiting(pod: Object, stage: str, placement: StagePlacement) -> Waiting | None:
    """Why ``pod`` is pending, where that is known."""
    status = pod.get("status", {})
    if status.get("phase") != "Pending":
        return None
    field, name = f"placement.stages.{stage}", pod["metadata"]["name"]
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            text = condition.get("message", condition.get("reason", ""))
            message = f"{name} waits for a node: {text} (see {', '.join(_fields(text, field, placement))})"
            return Waiting("node", message)
    for container in status.get("containerStatuses") or []:
        held = container.get("state", {}).get("waiting") or {}
        reason, text = held.get("reason", ""), held.get("message", "")
        if reason in PULLING:
            message = (
                f"the image {placement.image} of {name} cannot be pulled ({reason}: {text}); mend {field}.image, or "
                f"give {field}.pull_secret a Secret that may pull it"
            )
            return Waiting("image", message, hopeless=True)
        if reason in CONFIG:
            message = (
                f"the container of {name} cannot be made ({reason}: {text}); make what is missing, or mend "
                f"{field}.s3_secret, s3_config or cache_pvc"
            )
            return Waiting("container", message, hopeless=True)
    return None


def _fields(text: str, field: str, placement: StagePlacement) -> list[str]:
    """The settings that the scheduler's words are about."""
    about = {
        "affinity/selector": (f"{field}.node_selector = {json.dumps(placement.node_selector)}", f"{field}.affinity"),
        "untolerated taint": (f"{field}.tolerations = {json.dumps(placement.tolerations)}",),
        f"Insufficient {placement.gpu_type}": (f"{field}.gpus = {placement.gpus}",),
        "Insufficient cpu": (f"{field}.cpu = {placement.cpu}",),
        "Insufficient memory": (f"{field}.memory = {placement.memory}",),
        "Insufficient ephemeral-storage": (f"{field}.ephemeral_storage = {placement.ephemeral_storage}",),
        "persistentvolumeclaim": (f"{field}.cache_pvc = {placement.cache_pvc}",),
    }
    found = [each for words, fields in about.items() if words in text for each in fields]
    return found or [f"{field}: node_selector, tolerations, affinity, gpus, cpu, memory"]


def death(pod: Object, log: str, stage: str, placement: StagePlacement) -> Death:
    """How a failed pod ended; ``log`` is the end of what it wrote."""
    status = pod.get("status", {})
    name = f"{pod['metadata']['name']} (index {index_of(pod)})"
    ended = next((found for found in map(_terminated, status.get("containerStatuses") or []) if found), {})
    lines = (log or ended.get("message") or "").splitlines()
    error = next((event for line in reversed(lines) if (event := _event(line)) and event["event"] == "error"), None)
    code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        field = f"placement.stages.{stage}.memory"
        message = f"{name} was killed for its memory; raise {field} = {placement.memory}"
    elif status.get("reason") or code is None:
        message = f"{name} was ended: {status.get('reason', 'lost')} {status.get('message', '')}".rstrip()
    elif error and isinstance(error.get("message"), str):
        message = f"{name} ended with {code}: {error['message']}"
    elif code > 128:
        message = f"{name} was killed by signal {code - 128}"
    else:
        message = f"{name} ended with exit code {code}"
    return Death(name, code, message[:MOST_CHARS], error, tuple(line[:MOST_CHARS] for line in lines))


def index_of(pod: Object) -> str:
    """The pod's index in its Job."""
    return str((pod["metadata"].get("annotations") or {}).get(INDEX, "?"))


def _terminated(container: Object) -> Object:
    found: Object = container.get("state", {}).get("terminated") or {}
    return found if container.get("name") == CONTAINER else {}


def _event(line: str) -> dict[str, Any] | None:
    try:
        event: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "event" in event else None
