"""``alma status``: how far a run is, read from the store while its steps run anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alma.errors import DataError
from alma.monitor import journal, watch
from alma.monitor.display import roughly
from alma.monitor.journal import Entry
from alma.pace import progress
from alma.store import Store, open_store
from alma.text.plain import plain, short

COLOURS = {"sealed": "green", "published": "green", "running": "cyan", "failed": "red", "stopped": "yellow"}


def status(store_uri: str, run: str | None, *, every: float | None) -> None:
    """Prints the steps of ``run`` (default: the run whose state was written last).

    With ``every`` they are printed again after so many seconds. Watching ends with the last running step.
    Raises ``DataError`` where no run has written there.
    """
    store = open_store(store_uri)
    name = run or newest(store)
    console = Console(markup=False)  # what is shown is anybody's text
    labels = watch.planned(store, name)
    if every is None or not console.is_terminal:
        console.print(shown(name, labels, read(store, name), time.time()))
        return
    with Live(console=console, auto_refresh=False) as live:
        _watch(
            lambda: read(store, name),
            lambda entries: live.update(shown(name, labels, entries, time.time()), refresh=True),
            every,
        )


def _watch(get: Callable[[], list[Entry]], show: Callable[[list[Entry]], None], seconds: float) -> None:
    while True:
        entries = get()
        show(entries)
        if not any(entry.state == "running" for entry in entries):
            return
        time.sleep(seconds)


def newest(store: Store) -> str:
    """The run whose state was written last. Raises ``DataError`` where there is none."""
    heard = {
        name: max((entry.time for entry in journal.read(store, name)), default=0.0) for name in journal.runs(store)
    }
    if not heard:
        raise DataError(f"{store.uri}: no run has written here; name the --store of a run that was started with --run")
    return max(heard, key=lambda name: heard[name])


def read(store: Store, run: str) -> list[Entry]:
    """The run's entries. Raises ``DataError`` for a run that has none, with those there are."""
    entries = journal.read(store, run)
    if not entries:
        raise DataError(f"{store.uri}: no run {run!r}; there are: {', '.join(journal.runs(store)) or 'none'}")
    return entries


def shown(run: str, labels: Sequence[str], entries: Sequence[Entry], now: float) -> RenderableType:
    """How far the run is, and its steps; ``labels`` are those that are planned."""
    return Group(Text(summary(labels, entries, now)), table(run, entries, now))


def summary(labels: Sequence[str], entries: Sequence[Entry], now: float) -> str:
    """Rounds, steps, percent and the time left, of a run whose planned steps are ``labels``."""
    at = progress(watch.steps(labels, entries, now), now)
    left = "" if at.left_seconds is None else f", about {roughly(at.left_seconds)} left"
    planned = "" if labels else " of those that have begun"
    return f"{at}{planned}{left}"


def table(run: str, entries: Sequence[Entry], now: float) -> Table:
    """A row per step and shard."""
    grid = Table(
        "step",
        "state",
        "done",
        "rate",
        "left",
        "took",
        "artifact",
        title=Text(f"run {plain(run)}"),
        title_justify="left",
    )
    for entry in entries:
        silent = watch.state_of(entry, now) == "silent"
        state = f"silent for {roughly(now - entry.time)}" if silent else entry.state
        left = "" if entry.left_seconds is None or silent else roughly(entry.left_seconds)
        end = now if entry.state == "running" and not silent else entry.time
        grid.add_row(
            Text(plain(entry.label) + (f" ({plain(entry.shard)})" if entry.shard else "")),
            Text(state, style="yellow" if silent else COLOURS[entry.state]),
            Text(plain(entry.amount)),
            watch.rate([entry]).replace(", ", "\n"),
            left,
            roughly(end - entry.started),
            Text(plain(entry.ref or "")),
        )
        if entry.message:
            grid.add_row("", Text(plain(short(entry.message)), style="red"))
    return grid
