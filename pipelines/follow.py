"""``python -m pipelines follow``: tell what happens in a run until it ends, and end as it does."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from alma.errors import AccessError, AlmaError, ConfigError
from pipelines import attend, client
from pipelines.client import Api, NotFoundError, UnavailableError
from pipelines.events import Events, add_option, duration
from pipelines.package import Task, spec_of, tasks_of
from pipelines.steps import ENDED, Progress, Step, progress, state_of, steps, when


class RunFailedError(AlmaError):
    """The run ended otherwise than by success."""


def add_parser(commands: Any) -> None:
    """Adds ``follow`` to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "follow",
        help="follow a run until it ends",
        description="Prints every change of a task's state and the progress of the run, and exits as the run ends: 0 "
        "succeeded, 1 failed or stopped. 75: contact lost, or told to stop while the run goes on.",
    )
    parser.add_argument("run_id", help="the run's id, as submit printed it and list shows it")
    add_options(parser)
    client.add_options(parser)
    parser.set_defaults(run=main)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds how to follow."""
    group = parser.add_argument_group("following")
    group.add_argument(
        "--poll", type=client.positive, default=10.0, metavar="SECONDS", help="ask so often (default: 10)"
    )
    add_option(group)
    attend.add_options(parser)


def main(options: argparse.Namespace) -> None:
    """Runs the command."""
    events = Events(options.log)
    api = Api(options, events)
    with attend.attended(api, options, events, lambda: str(options.run_id)):
        follow(api, options.run_id, options, events)


def follow(api: Api, run_id: str, options: argparse.Namespace, events: Events) -> None:
    """Tells every change until the run has ended. Raises ``RunFailedError`` when that was no success.

    Raises ``AccessError`` or ``UnavailableError`` when contact is lost for good; the run does not notice.
    """
    try:
        _follow(api, run_id, options, events)
    except (AccessError, UnavailableError):
        said = f"not following any longer; the run goes on. {attend.how_to_go_on(run_id)}"
        events.tell("left", said, run=run_id, reason="contact lost")
        raise


def _follow(api: Api, run_id: str, options: argparse.Namespace, events: Events) -> None:
    seen: dict[str, str] = {}
    tasks: list[Task] | None = None
    last: tuple[int, int] | None = None
    spoke = 0.0
    while True:
        run = get(api, run_id, known=tasks is not None)
        if tasks is None:
            tasks = tasks_of_run(api, run)
            said = f"following {run.display_name}: {state_of(run).lower()}"
            events.tell("following", said, run=run_id, name=run.display_name, state=state_of(run).lower())
        now = datetime.now(UTC)
        current = steps(tasks, details(run))
        for step in current:
            _tell_change(events, step, seen, now, quiet=last is None)
        at = progress(current, now)
        if (at.tasks_done, at.rounds_done) != last or time.monotonic() - spoke >= 600:  # a sign of life
            _tell_progress(events, run, at, now)
            last, spoke = (at.tasks_done, at.rounds_done), time.monotonic()
        if state_of(run) in ENDED:
            return _end(api, run, current, options, events)
        time.sleep(options.poll)


def get(api: Api, run_id: str, *, known: bool = False) -> Any:
    """The run. Raises ``ConfigError`` for an id that the server does not know, or knows no more."""
    try:
        run = api.ask(api.runs.run_service_get_run, run_id)
    except NotFoundError as error:
        if known:
            raise RunFailedError(f"the run {run_id} was deleted while it was followed") from None
        raise ConfigError(f"no run {run_id}: {error}; 'python -m pipelines list' shows those there are") from None
    if run.run_id != run_id:
        raise ConfigError(f"{api.host} answers without a run; is it the address of the API?")
    return run


def details(run: Any) -> list[Any]:
    """The nodes of the run's workflow."""
    return (run.run_details.task_details if run.run_details else None) or []


def tasks_of_run(api: Api, run: Any) -> list[Task]:
    """The tasks of the run's pipeline, wherever its spec is."""
    spec = spec_of(run.pipeline_spec)
    if spec is None and run.pipeline_version_reference:
        reference = run.pipeline_version_reference
        version = api.ask(
            api.pipelines.pipeline_service_get_pipeline_version,
            reference.pipeline_id,
            reference.pipeline_version_id,
        )
        spec = spec_of(version.pipeline_spec)
    if spec is None:
        raise ConfigError(f"the run {run.run_id} has no pipeline of KFP 2, so its tasks cannot be told")
    return tasks_of(spec)


def _tell_change(events: Events, step: Step, seen: dict[str, str], now: datetime, *, quiet: bool) -> None:
    before = seen.get(step.label, "waiting")
    if step.state == before:
        return
    seen[step.label] = step.state
    if quiet and step.over:
        return  # what was done before we came is in the progress line
    seconds = step.seconds(now) if step.end else None
    took = f", {duration(seconds)}" if seconds is not None else ""
    fields = {"seconds": round(seconds)} if seconds is not None else {}
    events.tell(
        "task",
        f"{step.label}: {before} → {step.state}{took}{f': {step.error}' if step.error else ''}",
        **{"task": step.label, "from": before, "to": step.state, **fields},
        **({"error": step.error} if step.error else {}),
    )


def _tell_progress(events: Events, run: Any, at: Progress, now: datetime) -> None:
    elapsed = (now - (when(run.created_at) or now)).total_seconds()
    rounds = f"{at.rounds_done} of {at.rounds} rounds, " if at.rounds else ""
    left = f", about {duration(at.left_seconds)} left" if at.left_seconds is not None else ""
    events.tell(
        "progress",
        f"{rounds}{at.tasks_done} of {at.tasks} tasks, {duration(elapsed)}{left}",
        rounds_done=at.rounds_done,
        rounds=at.rounds,
        tasks_done=at.tasks_done,
        tasks=at.tasks,
        elapsed_seconds=round(elapsed),
        left_seconds=None if at.left_seconds is None else round(at.left_seconds),
    )


def _end(api: Api, run: Any, current: list[Step], options: argparse.Namespace, events: Events) -> None:
    state = state_of(run).lower()
    begin, end = when(run.created_at), when(run.finished_at) or datetime.now(UTC)
    took = duration((end - begin).total_seconds()) if begin else "unknown time"
    events.tell("end", f"{run.display_name}: {state} after {took}", run=run.run_id, state=state)
    if state == "succeeded":
        return
    failed = [step for step in current if step.state == "failed"]
    lines = [f"  {step.label}{f': {step.error}' if step.error else ''}" for step in failed]
    if run.error and run.error.message:
        lines.append(f"  {run.error.message}")
    where = f"-n {namespace(api, run, options)} -l pipeline/runid={run.run_id}"
    lines += [
        "its pods and their logs:",
        f"  kubectl get pods {where} --field-selector=status.phase=Failed",
        f"  kubectl logs {where} -c main --prefix --tail=50 --max-log-requests=100",
    ]
    raise RunFailedError("\n".join([f"the run {run.run_id} is {state}{':' if len(lines) > 3 else ';'}", *lines]))


def namespace(api: Api, run: Any, options: argparse.Namespace) -> str:
    """Where the run's pods are: the experiment says so where there are many users, else it is that of KFP."""
    try:
        experiment = api.once(api.experiments.experiment_service_get_experiment, run.experiment_id)
    except AlmaError:
        experiment = None  # it is only for a hint
    return (experiment.namespace if experiment else None) or options.namespace or "kubeflow"
