"""A run as a person reads it: its tasks by their labels, out of the nodes that the server lists.

The server lists every node of the workflow (driver pods, layers, loops, iterations, retries) under the task's key, not
under the name that the pipeline gave it; that name is in the pipeline's spec. Above 1 MiB of workflow the server's list
stops changing, so what the store's journal says of a step goes over it (``merged``).
https://github.com/kubeflow/pipelines/blob/008dcd633ea349755cc3693c95dc07402524457c/backend/src/v2/compiler/argocompiler/dag.go
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from alma.pace import Step
from pipelines.package import HAND_ON, Task

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
"""States in which a run, or a node of it, changes no more."""

DRIVER = "-driver"
"""How the node of a task's driver is called: the task's key, then this."""

EXECUTOR = "executor"
"""How the node below a task's is called: its pod, or its retries."""


def steps(tasks: Sequence[Task], details: Sequence[Any]) -> list[Step]:
    """Every task's step, in the pipeline's order; then drivers of layers that failed."""
    nodes = by_task(tasks, details)
    by_id = {detail.pod_name: detail for detail in details if detail.pod_name}
    found = [_step(task, nodes[task.path], by_id) for task in tasks]
    keys = {task.key for task in tasks}
    for detail in details:
        name = detail.display_name or ""
        if detail.state == "FAILED" and name.endswith(DRIVER) and name.removesuffix(DRIVER) not in keys:
            found.append(
                Step(name.removesuffix(DRIVER), "failed", start=_seconds(detail.start_time), error=_error(detail))
            )
    return found


def by_task(tasks: Sequence[Task], details: Sequence[Any]) -> dict[tuple[str, ...], list[Any]]:
    """The nodes of each task and its driver, by the task's path.

    Layers have tasks of one key; a node belongs to the layer that is nearest above it in the workflow.
    """
    candidates: dict[str, list[Task]] = defaultdict(list)
    for each in tasks:
        candidates[each.key].append(each)
    by_id = {detail.pod_name: detail for detail in details if detail.pod_name}
    parents: dict[str, list[Any]] = defaultdict(list)
    for detail in details:
        for child in detail.child_tasks or []:
            parents[child.pod_name].append(detail)
    found: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for detail in details:
        of = candidates.get((detail.display_name or "").removesuffix(DRIVER), [])
        task: Task | None = (
            of[0] if len(of) == 1 else _nearest(detail, {t.path[-2]: t for t in of if len(t.path) > 1}, parents, by_id)
        )
        if task:
            found[task.path].append(detail)
    return found


def _nearest(
    detail: Any, layers: Mapping[str, Task], parents: Mapping[str, Sequence[Any]], by_id: Mapping[str, Any]
) -> Task | None:
    ahead, seen = [detail], {detail.pod_name}
    while ahead and layers:
        above = [parent for each in ahead for parent in parents.get(each.pod_name, []) if parent.pod_name not in seen]
        for node in above:
            inside = [by_id[child.pod_name].display_name or "" for child in node.child_tasks if child.pod_name in by_id]
            is_task = any(name.startswith(EXECUTOR) for name in inside)
            if node.display_name in layers and not is_task:
                return layers[node.display_name]
        seen.update(node.pod_name for node in above)
        ahead = above
    return None


def merged(seen: Sequence[Step], told: Mapping[str, Step], *, running: bool) -> list[Step]:
    """What the server has ``seen`` of the tasks, and over it what the steps have ``told`` themselves, by label.

    A step that told nothing more, and whose task the server saw fail or the run has ended without, was ended without a
    word. Tasks that hand on are left out unless they failed: nobody waits for them.
    """
    found = []
    for step in seen:
        mine = told.get(step.label)
        if mine is None:
            found.append(step)
        elif mine.state in ("running", "silent") and (step.state in ("failed", "canceled") or not running):
            state = step.state if step.state == "canceled" else "failed"
            found.append(replace(mine, state=state, error=mine.error or step.error, end=step.end))
        else:
            found.append(mine)
    labels = {step.label for step in seen}
    found += [step for label, step in told.items() if label not in labels]
    return [step for step in found if step.state == "failed" or not step.label.endswith(HAND_ON)]


def state_of(run: Any) -> str:
    """The run's state; a run that was just created may have none."""
    return str(run.state or "PENDING")


def when(value: datetime | None) -> datetime | None:
    """A time of the server; what has not happened is the year 1 or 1970 there."""
    if value is None or value.year <= 1970:
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # a zone that is none, or at the end of all years
        return None


def _seconds(value: datetime | None) -> float | None:
    time = when(value)
    return time.timestamp() if time else None


def _step(task: Task, all_nodes: Sequence[Any], by_id: Mapping[str, Any]) -> Step:
    nodes = [node for node in all_nodes if node.display_name == task.key]
    states = [_state(node, by_id) for node in nodes]
    broken = [node for node in all_nodes if node.state == "FAILED"]
    done = sum(state in ("SUCCEEDED", "SKIPPED") for state in states)
    times = max(task.times, len(states))
    state = "failed" if broken else _together(states, done, times, started=len(all_nodes) > len(nodes))
    ended = state in ("succeeded", "skipped", "failed", "canceled")
    return Step(
        label=task.label,
        state=state,
        start=min(_known(_seconds(node.start_time) for node in all_nodes), default=None),
        end=max(_known(_seconds(node.end_time) for node in all_nodes), default=None) if ended else None,
        share=done / times,
        amount=f"{done}/{times}" if times > 1 else "",
        error="; ".join(dict.fromkeys(filter(None, map(_error, broken)))),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _together(states: Sequence[str], done: int, times: int, *, started: bool) -> str:
    if "CANCELED" in states:
        return "canceled"
    if states and done >= times:
        return "skipped" if set(states) == {"SKIPPED"} else "succeeded"
    if "RUNNING" in states or done:
        return "running"
    return "pending" if states or started else "waiting"


def _state(node: Any, by_id: Mapping[str, Any]) -> str:
    """A node's own state; but a task runs only when its pod does, which may wait long for a GPU."""
    state = str(node.state or "SKIPPED")
    if state == "RUNTIME_STATE_UNSPECIFIED":
        return "SKIPPED"  # Argo's "Omitted": something before it failed
    if state == "RUNNING":
        inside = [by_id[child.pod_name] for child in node.child_tasks or [] if child.pod_name in by_id]
        if inside and all(child.state == "PENDING" for child in inside):
            return "PENDING"
    return state


def _error(node: Any) -> str:
    if node.error and node.error.message:
        return str(node.error.message)
    reported = [status.error.message for status in node.state_history or [] if status.error and status.error.message]
    if reported:
        return str(reported[-1])
    return "its driver failed: the inputs, or the pod's settings" if str(node.display_name).endswith(DRIVER) else ""
