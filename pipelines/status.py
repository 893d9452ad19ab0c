"""``python -m pipelines status`` and ``list``: look at one run, or at many."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alma.errors import ConfigError
from pipelines import client, experiments, follow
from pipelines.client import Api
from pipelines.events import Events, add_option, duration, plain
from pipelines.steps import ENDED, Step, progress, state_of, steps, when

PAGE = 100


def add_parsers(commands: Any) -> None:
    """Adds ``status`` and ``list`` to the command line."""
    status: argparse.ArgumentParser = commands.add_parser(
        "status",
        help="say how far a run is",
        description="Prints the run's state, its progress and its tasks.",
    )
    status.add_argument("run_id", help="the run's id")
    status.set_defaults(run=show)
    listing: argparse.ArgumentParser = commands.add_parser(
        "list", help="list runs", description="Prints the latest runs, the newest first."
    )
    listing.add_argument("--experiment", help="only its runs")
    listing.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    listing.set_defaults(run=show_list)
    for parser in (status, listing):
        add_option(parser)
        client.add_options(parser)


def show(options: argparse.Namespace) -> None:
    """Runs ``status``."""
    api = Api(options, Events(options.log))
    run = follow.get(api, options.run_id)
    now = datetime.now(UTC)
    current = steps(follow.tasks_of_run(api, run), follow.details(run))
    at = progress(current, now)
    begin = when(run.created_at) or now
    end = (when(run.finished_at) or now) if state_of(run) in ENDED else now
    summary = [state_of(run).lower(), *([f"{at.rounds_done} of {at.rounds} rounds"] if at.rounds else [])]
    summary += [f"{at.tasks_done} of {at.tasks} tasks", duration((end - begin).total_seconds())]
    if at.left_seconds is not None and state_of(run) not in ENDED:
        summary.append(f"about {duration(at.left_seconds)} left")
    _print([f"{run.display_name} · {run.run_id}", ", ".join(summary), ""])
    far = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(current, key=lambda step: (step.start or far, step.round is None, step.round or 0))
    _print(table([("task", "state", "done", "took"), *(_row(step, now) for step in ordered)]))


def show_list(options: argparse.Namespace) -> None:
    """Runs ``list``. Raises ``ConfigError`` for an experiment that is not there."""
    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: a number above 0 is needed")
    api = Api(options, Events(options.log))
    namespace = experiments.namespace_of(api, options.namespace)
    where: dict[str, Any] = {"namespace": namespace} if namespace else {}
    if options.experiment:
        experiment = experiments.find(api, options.experiment, namespace)
        if experiment is None:
            raise ConfigError(f"there is no experiment {options.experiment!r}")
        where = {"experiment_id": experiment.experiment_id}
    runs: list[Any] = []
    page = ""
    while len(runs) < options.limit:
        size = min(PAGE, options.limit - len(runs))
        answer = api.ask(
            api.runs.run_service_list_runs, sort_by="created_at desc", page_size=size, page_token=page, **where
        )
        runs += answer.runs or []
        page = answer.next_page_token or ""
        if not page:
            break
    _print(table([("run", "name", "state", "created"), *(_run_row(run) for run in runs)]))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their heads, left-aligned."""
    clean = [[plain(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean]


def _row(step: Step, now: datetime) -> tuple[str, str, str, str]:
    seconds = step.seconds(now)
    done = f"{step.done}/{step.times}" if step.times > 1 else ""
    state = f"{step.state}: {step.error}" if step.error else step.state
    return step.label, state, done, duration(seconds) if seconds is not None else ""


def _run_row(run: Any) -> tuple[str, str, str, str]:
    created = when(run.created_at)
    return (
        str(run.run_id),
        str(run.display_name),
        state_of(run).lower(),
        created.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if created else "",
    )


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(plain(line))  # noqa: T201
