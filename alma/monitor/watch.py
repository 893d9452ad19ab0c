"""A run's steps as its journal tells them: one per label, whatever its shards and attempts were."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from alma.errors import StoreUnavailableError
from alma.monitor import journal
from alma.monitor.journal import Entry
from alma.pace import Step
from alma.store import Store
from alma.text.plain import short

STALE_SECONDS = 60.0
"""A running step that has written no state for so long is shown as silent: it was killed, or its machine is gone."""

WORST = ("failed", "stopped", "silent", "running", "published", "sealed")
"""Of the shards of a step, the first of these states that one of them has is the step's."""


class Reader:
    """Reads a run's journal again and again; what is sealed is read once."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._sealed: dict[str, Entry] = {}

    def read(self) -> list[Entry]:
        """All entries, oldest step first."""
        names = self._store.list(journal.folder(self._run))
        found = {name: self._sealed.get(name) or journal.read_entry(self._store, name) for name in names}
        entries = {name: entry for name, entry in found.items() if entry}
        self._sealed = {name: entry for name, entry in entries.items() if entry.state == "sealed"}
        return journal.in_order(list(entries.values()))


def planned(store: Store, run: str) -> list[str]:
    """The labels of all steps of the run, as its preflight recorded them; none where none did."""
    try:
        labels = json.loads(store.read(journal.record(run)))["steps"]
    except (FileNotFoundError, StoreUnavailableError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [str(label) for label in labels] if isinstance(labels, list) else []


def steps(labels: Sequence[str], entries: Sequence[Entry], now: float) -> list[Step]:
    """A step per label that is planned or has entries, the planned ones first and in their order."""
    by_label = grouped(entries)
    return [
        step(label, by_label[label], now) if label in by_label else Step(label, "waiting")
        for label in dict.fromkeys([*labels, *by_label])
    ]


def grouped(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    """Entries by label."""
    by_label: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_label[entry.label].append(entry)
    return by_label


def step(label: str, entries: Sequence[Entry], now: float) -> Step:
    """What the entries of one step, at least one, say together."""
    sealed = [entry for entry in entries if entry.state == "sealed"]
    states = [state_of(entry, now) for entry in entries]
    state = "sealed" if sealed else next(each for each in WORST if each in states)
    running = [entry for entry in entries if entry.state == "running"]
    return Step(
        label=label,
        state=state,
        start=min(entry.started for entry in entries),
        end=max(entry.time for entry in entries) if state not in ("running", "silent", "published") else None,
        share=1.0 if sealed else sum(_share(entry) for entry in entries) / len(entries),
        amount="" if sealed else _amount(entries),
        rate=rate(running),
        left_seconds=max((e.left_seconds for e in running if e.left_seconds is not None), default=None),
        error="; ".join(dict.fromkeys(short(e.message) for e in entries if e.message and not sealed)),
    )


def state_of(entry: Entry, now: float) -> str:
    """The entry's state; ``silent`` where a running step should have written again by now."""
    return "silent" if entry.state == "running" and now - entry.time > STALE_SECONDS else entry.state


def rate(running: Sequence[Entry]) -> str:
    """Rows and tokens a second of all shards together; empty where none is known."""
    rows = sum(entry.per_second or 0.0 for entry in running)
    tokens = sum(entry.tokens / entry.seconds for entry in running if entry.tokens and entry.seconds)
    return ", ".join([f"{rows:,.1f}/s"] * (rows > 0) + [f"{tokens:,.0f} tokens/s"] * (tokens > 0))


def _share(entry: Entry) -> float:
    if entry.state == "published":
        return 1.0
    return min(1.0, entry.done / entry.total) if entry.total else 0.0


def _amount(entries: Sequence[Entry]) -> str:
    counted = [entry for entry in entries if entry.total is not None]
    if not counted:
        return ""
    done, total = sum(entry.done for entry in counted), sum(entry.total or 0 for entry in counted)
    return f"{done:,}/{total:,} {counted[0].unit}"
