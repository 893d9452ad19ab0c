"""``alma status``: how far a run is, read from the store while its steps run anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alma.errors import DataError
from alma.monitor import journal
from alma.monitor.display import duration
from alma.monitor.journal import Entry
from alma.store import Store, open_store
from alma.text.plain import plain, short

STALE_SECONDS = 60.0
"""A running step that has written no state for so long is shown as silent: it was killed, or its machine is gone."""

COLOURS = {"sealed": "green", "published": "green", "running": "cyan", "failed": "red", "stopped": "yellow"}


def status(store_uri: str, run: str | None, *, watch: float | None) -> None:
    """Prints the steps of ``run`` (default: the run whose state was written last).

    With ``watch`` they are printed again every so many seconds. Watching ends with the last running step.
    Raises ``DataError`` where no run has written there.
    """
    store = open_store(store_uri)
    name = run or newest(store)
    console = Console()
    if watch is None or not console.is_terminal:
        console.print(table(name, read(store, name), time.time()))
        return
    with Live(console=console, auto_refresh=False) as live:
        _watch(
            lambda: read(store, name),
            lambda entries: live.update(table(name, entries, time.time()), refresh=True),
            watch,
        )


def _watch(get: Callable[[], list[Entry]], show: Callable[[list[Entry]], None], seconds: float) -> None:
    while True:
        entries = get()
        show(entries)
        if not any(entry.state == "running" for entry in entries):
            return
        time.sleep(seconds)


def newest(store: Store) -> str:
    """The run whose state was written last."""
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


def table(run: str, entries: list[Entry], now: float) -> Table:
    """A row per step and shard."""
    grid = Table("step", "state", "done", "rate", "left", "took", "artifact", title=f"run {run}", title_justify="left")
    for entry in entries:
        silent = entry.state == "running" and now - entry.time > STALE_SECONDS
        state = f"silent for {duration(now - entry.time)}" if silent else entry.state
        rates = [] if entry.per_second is None else [f"{entry.per_second:,.1f}/s"]
        rates += [f"{entry.tokens / entry.seconds:,.0f} tokens/s"] if entry.tokens and entry.seconds else []
        left = "" if entry.left_seconds is None or silent else duration(entry.left_seconds)
        end = now if entry.state == "running" and not silent else entry.time
        grid.add_row(
            Text(entry.label + (f" ({entry.shard})" if entry.shard else "")),
            Text(state, style="yellow" if silent else COLOURS[entry.state]),
            entry.amount,
            "\n".join(rates),
            left,
            duration(end - entry.started),
            entry.ref or "",
        )
        if entry.message:
            grid.add_row("", Text(plain(short(entry.message)), style="red"))
    return grid
