"""``python -m pipelines status`` and ``list``: look at one run, or at many."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alma.arguments import whole
from alma.errors import ConfigError
from alma.pace import Step, progress
from pipelines.runs import client, experiments, follow
from pipelines.runs.client import Api
from pipelines.runs.events import Events, add_option, duration, plain
from pipelines.runs.journal import Journal
from pipelines.runs.steps import ENDED, merged, state_of, steps, when

PAGE = 100


def add_parsers(commands: Any) -> None:
    """Adds ``status`` and ``list`` to the command line."""
    status: argparse.ArgumentParser = commands.add_parser(
        "status",
        help="say how far a run is",
        description="Prints the run's state, and the table of 'alma status' where there is a way to its store; else "
        "its tasks as the server knows them.",
    )
    status.add_argument("run_id", help="the run's id")
    status.set_defaults(run=show)
    listing: argparse.ArgumentParser = commands.add_parser(
        "list", help="list runs", description="Prints the latest runs, the newest first."
    )
    listing.add_argument("--experiment", help="only its runs")
    listing.add_argument("--limit", type=whole(1), default=20, metavar="N", help="at most so many (default: 20)")
    listing.set_defaults(run=show_list)
    for parser in (status, listing):
        add_option(parser)
        client.add_options(parser)


def show(options: argparse.Namespace) -> None:
    """Runs ``status``: as ``alma status`` where there is a way to the run's store, else what the server says."""
    events = Events(options.log)
    api = Api(options, events)
    run = follow.get(api, options.run_id)
    tasks, store = follow.described(api, run)
    journal = Journal(store, str(run.run_id), events)
    journal.look()
    begin = when(run.created_at)
    ended = state_of(run) in ENDED
    end = when(run.finished_at) if ended else None
    took = ((end or datetime.now(UTC)) - begin).total_seconds() if begin else 0.0
    _print([f"{run.display_name} · {run.run_id}", f"{state_of(run).lower()}, {duration(took)}"])
    if journal.entries:
        from rich.console import Console

        console = Console()
        console.print(journal.table())
        return
    now = time.time()
    current = merged(steps(tasks, follow.details(run)), {}, running=not ended)
    at = progress(current, now)
    _print([follow.said_of(at) if not ended else str(at), ""])
    ordered = sorted(current, key=lambda step: (step.start or now, step.round is None, step.round or 0))
    _print(table([("task", "state", "done", "took"), *(_row(step, now) for step in ordered)]))


def show_list(options: argparse.Namespace) -> None:
    """Runs ``list``. Raises ``ConfigError`` for an experiment that is not there."""
    if options.limit < 1:
        raise ConfigError(f"--limit {options.limit}: give a number above 0")
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
        if not page or not answer.runs:  # one that names a next page for ever
            break
    _print(table([("run", "name", "state", "created"), *(_run_row(run) for run in runs)]))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their heads, left-aligned."""
    clean = [[plain(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean]


def _row(step: Step, now: float) -> tuple[str, str, str, str]:
    seconds = step.seconds(now)
    state = f"{step.state}: {step.error}" if step.error else step.state
    return step.label, state, step.amount, duration(seconds) if seconds is not None else ""


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
