"""What became of a run's pods: with which exit code each failed, why, and what it wrote last."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.package import Task
from pipelines.runs.kube import Kube, Object, UnknownError, known
from pipelines.runs.steps import DRIVER, EXECUTOR

RUN = "pipeline/runid"
"""The label of all pods of a run: KFP's, and those of its stages' Jobs."""

NODE = "workflows.argoproj.io/node-name"
"""The annotation of Argo's pods: the workflow's name, then the keys of the tasks around it, with dots between."""

LABEL = "alma/label"
"""The annotation of alma's Jobs: the step's label."""

SIGTERM, SIGKILL = 143, 137

TERMINATED = "it was told to end (SIGTERM)"
"""Of a pod that is there no more because the run was stopped: the launcher dies at once."""

LINES = 20
"""How many of a failed pod's last lines are read."""

LOST = (
    "Evicted",
    "NodeLost",
    "NodeShutdown",
    "Shutdown",
    "Terminated",
    "Preempting",
    "Preempted",
    "UnexpectedAdmissionError",
)
"""Reasons of a pod's failure that are its node's."""

PULLING = ("ImagePullBackOff", "ErrImagePull", "RegistryUnavailable")


@dataclass(frozen=True)
class PodEnd:
    """A pod that has failed, or that cannot begin."""

    name: str
    label: str
    """Of the step, as far as the pod tells it."""

    code: int | None
    """The exit code of its main container."""

    why: str
    """oom, killed, terminated, lost, image, deadline, or exit."""

    text: str
    """The same for a person."""

    lines: tuple[str, ...] = ()
    """The last lines that it wrote."""

    @property
    def error(self) -> dict[str, Any] | None:
        """What the program in it said last of itself: alma's event ``error``, with ``kind``, ``message``, ``exit``."""
        for line in reversed(self.lines):
            try:
                event = json.loads(line[line.index("{") :])
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and event.get("event") == "error":
                return event
        return None


@known()
def failed(kube: Kube, run_id: str, namespace: str, tasks: Sequence[Task]) -> list[PodEnd]:
    """Every failed pod of the run's tasks, oldest first. Raises ``UnknownError``.

    For the pods of a stage's Job the task speaks that follows it: it knows which of them were tried again.
    """
    found = [
        pod for pod in kube.pods(namespace, f"{RUN}={run_id}") if NODE in (pod["metadata"].get("annotations") or {})
    ]
    found.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    ends = [end for pod in found if (end := end_of(pod, tasks))]
    return [_with_lines(kube, namespace, end) for end in ends]


@known()
def stuck(kube: Kube, run_id: str, namespace: str, tasks: Sequence[Task]) -> dict[str, str]:
    """By pod, why those that wait do not begin, in a sentence that names what to mend. Raises ``UnknownError``."""
    found = {}
    for pod in kube.pods(namespace, f"{RUN}={run_id}"):
        if (pod.get("status") or {}).get("phase") == "Pending" and (text := _waits(pod, _label(pod, tasks))):
            found[str(pod["metadata"]["name"])] = text
    return found


def end_of(pod: Object, tasks: Sequence[Task]) -> PodEnd | None:
    """How ``pod`` failed; none for one that did not."""
    status, name, label = pod.get("status") or {}, str(pod["metadata"]["name"]), _label(pod, tasks)
    containers = {each["name"]: each for each in status.get("containerStatuses") or []}
    main: Object = containers.get("main") or next(iter(containers.values()), {})
    ended = (main.get("state") or {}).get("terminated") or {}
    code = ended.get("exitCode")
    reason = str(status.get("reason") or "")
    disrupted = [
        each
        for each in status.get("conditions") or []
        if each["type"] == "DisruptionTarget" and each["status"] == "True"
    ]
    held = (main.get("state") or {}).get("waiting") or {}
    if status.get("phase") == "Pending" and held.get("reason") in PULLING:
        return PodEnd(name, label, None, "image", f"its image cannot be pulled: {held.get('message', held['reason'])}")
    if status.get("phase") != "Failed" and not (code or 0):
        return None
    if ended.get("reason") == "OOMKilled":
        return PodEnd(name, label, code, "oom", "it was killed for its memory; give it more (the form's memory_…)")
    if reason == "DeadlineExceeded":
        return PodEnd(name, label, code, "deadline", "it ran longer than its time limit")
    if reason in LOST or disrupted:
        said = status.get("message") or next((each.get("message", "") for each in disrupted), "")
        return PodEnd(name, label, code, "lost", f"its node gave it up ({reason or 'disruption'}): {said}".rstrip(": "))
    if code == SIGKILL:
        return PodEnd(name, label, code, "killed", "it was killed (SIGKILL)")
    if code == SIGTERM:
        return PodEnd(name, label, code, "terminated", TERMINATED)
    if code is None:
        return PodEnd(name, label, None, "lost", f"it ended without an exit code {reason}".rstrip())
    return PodEnd(name, label, code, "exit", f"it ended with exit code {code}")


def _with_lines(kube: Kube, namespace: str, end: PodEnd) -> PodEnd:
    try:
        lines = kube.last_lines(end.name, namespace, "main", LINES) if end.code is not None else []
    except UnknownError:
        lines = []
    return PodEnd(
        end.name, end.label, end.code, end.why, end.text, tuple(line[:1000] for line in lines if line.strip())
    )


def _label(pod: Object, tasks: Sequence[Task]) -> str:
    noted = pod["metadata"].get("annotations") or {}
    if LABEL in noted:
        return str(noted[LABEL])
    keys = [re.sub(r"\(\d+\)$", "", key) for key in str(noted.get(NODE, "")).split(".")]
    fitting = [task for task in tasks if _leads_to(task.path, keys)]
    longest = max(fitting, key=lambda task: len(task.path), default=None)
    return longest.label if longest else keys[-1] or str(pod["metadata"]["name"])


def _leads_to(path: Sequence[str], keys: Sequence[str]) -> bool:
    """Whether a node's name is of the task at ``path``, its driver or its executor; loops add keys of their own."""
    *above, last = keys[:-1] if keys[-1] == EXECUTOR and len(keys) > 1 else keys
    if path[-1] != last.removesuffix(DRIVER):
        return False
    rest = iter(above)
    return all(any(key == wanted for key in rest) for wanted in path[:-1])


def _waits(pod: Object, label: str) -> str:
    status = pod["status"]
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return (
                f"{label}: no node takes its pod ({condition.get('message', condition.get('reason'))}); see the form's "
                "gpus_…, memory_…, node_selector and node_tolerations"
            )
    for container in status.get("containerStatuses") or []:
        held = (container.get("state") or {}).get("waiting") or {}
        if held.get("reason") in (*PULLING, "InvalidImageName", "ErrImageNeverPull"):
            return (
                f"{label}: the image {container.get('image')} cannot be pulled "
                f"({held.get('message', held['reason'])}); mend the form's image_…, or "
                "placement.pull_secret"
            )
        if held.get("reason") in ("CreateContainerConfigError", "CreateContainerError"):
            return f"{label}: its container cannot be made ({held.get('message', held['reason'])})"
    return ""
