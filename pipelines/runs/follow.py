"""``python -m pipelines follow``: tell what happens in a run until it ends, and end as it does."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alma.arguments import positive
from alma.errors import AccessError, AlmaError, ConfigError
from alma.pace import Progress, Step, progress
from pipelines.package import Task, spec_of, store_of, tasks_of
from pipelines.runs import attend, client
from pipelines.runs.causes import Cause, causes
from pipelines.runs.client import Api, NotFoundError, UnavailableError
from pipelines.runs.events import Events, add_option, duration
from pipelines.runs.journal import Journal
from pipelines.runs.kube import Kube, UnknownError, own_namespace, within_reach
from pipelines.runs.notices import Notices
from pipelines.runs.pods import PodEnd, failed
from pipelines.runs.signals import check
from pipelines.runs.steps import ENDED, merged, state_of, steps, when
from pipelines.runs.stuck import Stuck

ALIVE_SECONDS = 600.0
"""After so long without a change a sign of life is given."""

BUSY_SECONDS = 60.0
"""The same while a step counts what it does."""


class RunFailedError(AlmaError):
    """The run ended otherwise than by success."""

    def __init__(self, text: str, state: str = "failed", causes: Sequence[Cause] = ()) -> None:
        super().__init__(text)
        self.state = state
        self.causes = list(causes)
        """Why, as far as that is known."""


def add_parser(commands: Any) -> None:
    """Adds ``follow`` to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "follow",
        help="follow a run until it ends",
        description="Prints every change of a step's state and the progress of the run, from the journal in its store, "
        "and exits as the run ends: 0 succeeded, 1 failed or stopped. 75: contact lost, or told to stop while the run "
        "goes on.",
    )
    parser.add_argument("run_id", help="the run's id, as submit printed it and list shows it")
    add_options(parser)
    client.add_options(parser)
    parser.set_defaults(run=main)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds how to follow."""
    group = parser.add_argument_group("following")
    group.add_argument("--poll", type=positive, default=10.0, metavar="SECONDS", help="ask so often (default: 10)")
    group.add_argument(
        "--stuck-after",
        type=positive,
        default=600.0,
        metavar="SECONDS",
        help="tell of pods that have not begun for so long, where the Kubernetes API can be asked (default: 600)",
    )
    add_option(group)
    attend.add_options(parser)


def main(options: argparse.Namespace) -> None:
    """Runs the command."""
    events = Events(options.log)
    api = Api(options, events)
    with attend.attended(api, options, events, lambda: str(options.run_id)):
        follow(api, options.run_id, options, events)


def follow(
    api: Api, run_id: str, options: argparse.Namespace, events: Events, notices: Notices | None = None, attempt: int = 1
) -> None:
    """Tells every change until the run has ended. Raises ``RunFailedError`` when that was no success.

    Raises ``AccessError`` or ``UnavailableError`` when contact is lost for good; the run does not notice.
    """
    try:
        Follower(api, run_id, options, events, notices or Notices(None, events), attempt).follow()
    except (AccessError, UnavailableError):
        said = f"not following any longer; the run goes on. {attend.how_to_go_on(run_id)}"
        events.tell("left", said, run=run_id, reason="contact lost")
        raise


class Follower:
    """Follows one run: the server says how it stands, the journal in its store what its steps do."""

    def __init__(
        self, api: Api, run_id: str, options: argparse.Namespace, events: Events, notices: Notices, attempt: int
    ) -> None:
        self._api, self._run_id, self._options, self._events = api, run_id, options, events
        self._notices, self._attempt = notices, attempt
        self._seen: dict[str, str] = {}
        self._counted: tuple[int, int, str] | None = None
        self._spoke = 0.0
        self._stopped = False
        """Whether the run was seen to be stopped by somebody."""

        self._stuck = Stuck(lambda run: namespace(api, run, options), options.stuck_after, events, notices)

    def follow(self) -> None:
        """Until the run has ended."""
        run = get(self._api, self._run_id)
        tasks, store = described(self._api, run)
        journal = Journal(store, self._run_id, self._events)
        said = f"following {run.display_name}: {state_of(run).lower()}"
        self._events.tell("following", said, run=self._run_id, name=run.display_name, state=state_of(run).lower())
        while True:
            ended = state_of(run) in ENDED
            self._stopped |= state_of(run) == "CANCELING"
            journal.look(last=ended)
            current = merged(steps(tasks, details(run)), journal.steps(), running=not ended)
            self._tell(run, current)
            if ended:
                return self._end(run, tasks, current, journal)
            self._stuck.look(run, tasks)
            check()
            time.sleep(self._options.poll)
            run = get(self._api, self._run_id, known=True)

    def _tell(self, run: Any, current: list[Step]) -> None:
        now = time.time()
        first = self._counted is None
        for step in current:
            self._tell_change(step, now, quiet=first)
        at = progress(current, now)
        self._notices.show(self._run_id, str(run.display_name), state_of(run).lower(), self._attempt, at)
        counted = (at.steps_done, at.rounds_done, at.layer)
        quiet = time.monotonic() - self._spoke
        if counted == self._counted and quiet < (BUSY_SECONDS if any(s.amount for s in current) else ALIVE_SECONDS):
            return
        if self._counted and at.rounds_done > self._counted[1]:
            self._notices.say("RoundDone", f"{run.display_name}: {said_of(at)}")
        self._tell_progress(run, current, at, now)
        self._counted, self._spoke = counted, time.monotonic()

    def _tell_change(self, step: Step, now: float, *, quiet: bool) -> None:
        before = self._seen.get(step.label, "waiting")
        if step.state == before:
            return
        self._seen[step.label] = step.state
        if quiet and step.over:
            return  # what was done before we came is in the progress line
        seconds = step.seconds(now) if step.end else None
        took = f", {duration(seconds)}" if seconds is not None else ""
        fields = {"seconds": round(seconds)} if seconds is not None else {}
        self._events.tell(
            "task",
            f"{step.label}: {before} → {step.state}{took}{f': {step.error}' if step.error else ''}",
            **{"task": step.label, "from": before, "to": step.state, **fields},
            **({"error": step.error} if step.error else {}),
        )
        if step.state == "failed":
            self._notices.say("StepFailed", f"{step.label}: {step.error or 'failed'}", warning=True)

    def _tell_progress(self, run: Any, current: list[Step], at: Progress, now: float) -> None:
        begin = when(run.created_at)
        elapsed = now - begin.timestamp() if begin else 0.0
        doing = [step for step in current if step.state == "running" and (step.amount or step.rate)]
        self._events.tell(
            "progress",
            "\n".join([f"{said_of(at)}, {duration(elapsed)} so far", *(f"  {doing_of(step)}" for step in doing)]),
            layer=at.layer,
            rounds_done=at.rounds_done,
            rounds=at.rounds,
            steps_done=at.steps_done,
            steps=at.steps,
            percent=at.percent,
            elapsed_seconds=round(elapsed),
            left_seconds=None if at.left_seconds is None else round(at.left_seconds),
            **({"doing": {step.label: doing_of(step, label=False) for step in doing}} if doing else {}),
        )

    def _end(self, run: Any, tasks: list[Task], current: list[Step], journal: Journal) -> None:
        state = state_of(run).lower()
        begin, end = when(run.created_at), when(run.finished_at) or datetime.now(UTC)
        took = duration((end - begin).total_seconds()) if begin else "unknown time"
        self._events.tell("end", f"{run.display_name}: {state} after {took}", run=run.run_id, state=state)
        if state == "succeeded":
            return
        where = namespace(self._api, run, self._options)
        told = str(run.error.message) if run.error and run.error.message else ""
        found = causes(current, journal.words(), self._pods(where, tasks), told)
        if self._stopped or stopped(run):
            state = "canceled"
        lines = [f"  {line}" for cause in found for line in str(cause).splitlines()]
        if told and told not in "\n".join(lines):
            lines.append(f"  {told}")
        query = shlex.join(["-n", where, "-l", f"pipeline/runid={run.run_id}"])
        head = f"the run {run.run_id} is {state}{':' if lines else ';'}"
        hints = [
            "its pods and their logs:",
            f"  kubectl get pods {query} --field-selector=status.phase=Failed",
            f"  kubectl logs {query} -c main --prefix --tail=50 --max-log-requests=100",
        ]
        raise RunFailedError("\n".join([head, *lines, *hints]), state, found)

    def _pods(self, where: str, tasks: list[Task]) -> list[PodEnd]:
        if not within_reach():
            return []
        try:
            return failed(Kube(), self._run_id, where, tasks)
        except UnknownError as error:
            self._events.tell("pods", f"what became of the run's pods is not known: {error}", message=str(error))
            return []


def said_of(at: Progress) -> str:
    """Where the run is, and what is left of it."""
    left = f", about {duration(at.left_seconds)} left" if at.left_seconds is not None else ""
    return f"{f'{at.layer}: ' if at.layer else ''}{at}{left}"


def doing_of(step: Step, *, label: bool = True) -> str:
    """What a running step has done, how fast, and what is left."""
    left = f"about {duration(step.left_seconds)} left" if step.left_seconds is not None else ""
    said = ", ".join(filter(None, (step.amount, step.rate, left)))
    return f"{step.label}: {said}" if label else said


def stopped(run: Any) -> bool:
    """Whether somebody asked the run to stop."""
    past = [str(each.state) for each in run.state_history or []]
    return bool({"CANCELING", "CANCELED"} & {state_of(run), *past})


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


def described(api: Api, run: Any) -> tuple[list[Task], str | None]:
    """The tasks of the run's pipeline, wherever its spec is, and the run's store.

    Raises ``ConfigError`` for a run of no pipeline of KFP 2.
    """
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
    given = (run.runtime_config.parameters if run.runtime_config else None) or {}
    return tasks_of(spec), store_of(spec, given)


def namespace(api: Api, run: Any, options: argparse.Namespace) -> str:
    """Where the run's pods are: the experiment says so where there are many users, else it is that of KFP."""
    try:
        experiment = api.once(api.experiments.experiment_service_get_experiment, run.experiment_id)
    except AlmaError:
        experiment = None  # it is only for a hint
    there = experiment.namespace if experiment else None
    return there or options.namespace or own_namespace() or "kubeflow"
