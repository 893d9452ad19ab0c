"""What a run's steps say of themselves in its store. Of all of ``pipelines`` only this file looks into a store.

The submitting image holds alma, and so all that reads a journal; a laptop may have no way to the store, or no login.
Then the run is followed by what the server says, and that is told once.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alma.errors import AlmaError, TransientError
from alma.pace import Step
from pipelines.runs.events import Events
from pipelines.runs.signals import postponed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from alma.monitor.journal import Entry
    from alma.monitor.watch import Reader


AWAY_SECONDS = 60.0
"""How long a store that did not answer is left alone: it takes its time to say so, and the run may end meanwhile."""


class Word(NamedTuple):
    """What one step, or shard of it, has said last."""

    state: str
    exit_code: int | None
    kind: str | None
    message: str | None


class Journal:
    """The journal of one run, read again and again."""

    def __init__(self, store: str | None, run_id: str, events: Events) -> None:
        with postponed():  # a signal in the midst of an import leaves half a module
            import alma.monitor.watch
            import alma.store  # noqa: F401
        self._uri, self._run, self._events = store, run_id, events
        self._reader: Reader | None = None
        self._told, self._not_before = "", 0.0
        self.entries: list[Entry] = []
        """As they were read last."""

        self.labels: list[str] = []
        """Of all steps that the run's preflight has recorded."""

    @property
    def known(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.entries or self.labels)

    def look(self, *, last: bool = False) -> None:
        """Reads it, in any case for the ``last`` time. A store that is out of reach leaves what was read before."""
        if self._uri is None or (time.monotonic() < self._not_before and not last):
            return
        try:
            self._look()
        except TransientError as error:
            self._not_before = time.monotonic() + AWAY_SECONDS
            self._tell(f"the store does not answer, so what is shown is older: {error}")
        except (AlmaError, OSError) as error:
            self._tell(f"no way to the store {self._uri}, so this is what Kubeflow's server says: {error}")
            self._uri = None

    def steps(self) -> dict[str, Step]:
        """What was read, by label."""
        if not self.known:
            return {}
        from alma.monitor import watch

        return {step.label: step for step in watch.steps(self.labels, self.entries, time.time()) if step.start}

    def words(self) -> dict[str, list[Word]]:
        """What steps that are not over have said, by label."""
        if not self.known:
            return {}
        from alma.monitor import watch

        grouped = watch.grouped(self.entries)
        return {
            label: [Word(entry.state, entry.exit_code, entry.kind, entry.message) for entry in of]
            for label, of in grouped.items()
            if all(entry.state != "sealed" for entry in of)
        }

    def table(self) -> RenderableType:
        """As ``alma status`` prints it."""
        from alma.monitor import status

        return status.shown(self._run, self.labels, self.entries, time.time())

    def _look(self) -> None:
        from alma.monitor import watch
        from alma.store import FolderStore, open_store

        if self._reader is None:
            os.environ.setdefault("AWS_MAX_ATTEMPTS", "2")  # we come again by ourselves
            store = open_store(str(self._uri))
            if isinstance(store, FolderStore) and not Path(store.uri).is_dir():
                self._tell(f"the store {store.uri} is no folder here, so this is what Kubeflow's server says")
                return  # it may be made yet, by a run on this machine
            self._store, self._reader = store, watch.Reader(store, self._run)
        self.entries, self._told = self._reader.read(), ""
        if not self.labels:
            self.labels = watch.planned(self._store, self._run)

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._events.tell("store", text, message=text)
