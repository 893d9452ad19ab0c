"""A run as a person reads it: its tasks by their labels, out of the nodes that the server lists.

The server lists every node of the workflow (driver pods, loops, iterations, retries) under the task's key, not under
the name that the pipeline gave it; that name is in the pipeline's spec.
https://github.com/kubeflow/pipelines/blob/008dcd633ea349755cc3693c95dc07402524457c/backend/src/v2/compiler/argocompiler/dag.go
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.package import Task

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
"""States in which a run, or a node of it, changes no more."""

FEEDBACK = 2
"""The first round of feedback: round 00 looks at the base model and round 01 trains the initial checkpoints."""


@dataclass(frozen=True)
class Step:
    """One task of the run; a task in a loop once, with its iterations counted."""

    label: str
    round: int | None
    state: str
    """waiting, pending (its pod is not there yet), running, succeeded, skipped, failed or canceled."""

    done: int
    times: int
    start: datetime | None
    end: datetime | None
    error: str

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.state in ("succeeded", "skipped")

    def seconds(self, now: datetime) -> float | None:
        """How long it has taken so far."""
        return ((self.end or now) - self.start).total_seconds() if self.start else None


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    rounds_done: int
    rounds: int
    tasks_done: int
    tasks: int
    left_seconds: float | None


def steps(tasks: Sequence[Task], details: Sequence[Any]) -> list[Step]:
    """Every task's step, in the pipeline's order."""
    nodes: dict[str, list[Any]] = defaultdict(list)
    for detail in details:
        nodes[detail.display_name or ""].append(detail)
    by_id = {detail.pod_name: detail for detail in details if detail.pod_name}
    return [_step(task, nodes[task.key], nodes[f"{task.key}-driver"], by_id) for task in tasks]


def progress(run_steps: Sequence[Step], now: datetime) -> Progress:
    """Rounds and tasks done; the time left, once two rounds of feedback have begun, at the latest pace."""
    by_round: dict[int, list[Step]] = defaultdict(list)
    for step in run_steps:
        if step.round is not None and step.round >= FEEDBACK:
            by_round[step.round].append(step)
    done = [number for number, members in by_round.items() if all(step.over for step in members)]
    begun = {
        number: min(starts)
        for number, members in sorted(by_round.items())
        if (starts := [step.start for step in members if step.start])
    }
    left = None
    if len(begun) >= 2 and len(done) < len(by_round):
        before, last = sorted(begun)[-2:]
        taken = (now - begun[last]).total_seconds()
        pace = max(taken, (begun[last] - begun[before]).total_seconds())  # rounds that were sealed already take seconds
        left = pace * (1 + max(by_round) - last) - taken
    over = sum(step.done for step in run_steps)
    return Progress(len(done), len(by_round), over, sum(step.times for step in run_steps), left)


def state_of(run: Any) -> str:
    """The run's state; a run that was just created may have none."""
    return str(run.state or "PENDING")


def when(value: datetime | None) -> datetime | None:
    """A time of the server; what has not happened is the year 1 or 1970 there."""
    if value is None or value.year <= 1970:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _step(task: Task, nodes: Sequence[Any], drivers: Sequence[Any], by_id: Mapping[str, Any]) -> Step:
    states = [_state(node, by_id) for node in nodes]
    broken = [node for node in [*nodes, *drivers] if node.state == "FAILED"]
    starts = [start for node in [*drivers, *nodes] if (start := when(node.start_time))]
    ends = [end for node in [*drivers, *nodes] if (end := when(node.end_time))]
    done = sum(state in ("SUCCEEDED", "SKIPPED") for state in states)
    times = max(task.times, len(states))
    state = _together(states, done, times, started=bool(drivers))
    if broken:
        state = "failed"
    over = state in ("succeeded", "skipped", "failed", "canceled")
    return Step(
        label=task.label,
        round=task.round,
        state=state,
        done=done,
        times=times,
        start=min(starts, default=None),
        end=max(ends, default=None) if over else None,
        error="; ".join(dict.fromkeys(filter(None, map(_error, broken)))),
    )


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
    return "its driver failed: the inputs, or the pod's settings" if str(node.display_name).endswith("-driver") else ""
