"""What the steps of a run are doing: one small object per step in the store, written by the step itself.

``runs/<run>/steps/<label>.json`` lies beside the artifacts, so that ``alma status`` and the last task of a pipeline
read the state of pods that they cannot reach, or that are gone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alma.artifact import Ref
from alma.errors import EXIT_FAILED, AlmaError, ConfigError, Stopped, StoreUnavailableError
from alma.progress import Event
from alma.remedies import as_ours
from alma.store import Store

INTERVAL_SECONDS = 10.0
"""Between two writes of a running step."""

PROGRESS = ("done", "total", "unit", "tokens", "seconds", "per_second", "left_seconds")
"""What an entry takes from an event of progress."""

MOST_LABEL_CHARS = 200
"""Of a step's label, which stands in each line of its log and, with its shard, is a file's name. The recipes' have 40.
"""

MOST = 10**20
"""Of a number in an entry: more than there can be, and few enough to be added and divided."""

Whole = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]

State = Literal["running", "published", "sealed", "failed", "stopped"]


class Entry(BaseModel):
    """The latest state of one step, or of one shard of it."""

    model_config = ConfigDict(frozen=True)

    label: str
    stage: str
    state: State
    """``published``: this shard's parts are there; ``sealed``: the artifact is whole."""

    time: Number
    """When this was written, Unix seconds."""

    started: Number
    """When the step began, Unix seconds."""

    shard: str | None = None
    ref: str | None = None
    """The artifact, once it is named."""

    message: str | None = None
    """Why it failed or stopped."""

    exit_code: int | None = None
    """What the process exits with for that: 2 a person has to change something, 75 worth another try, 1 all else."""

    kind: str | None = None
    """The class of the error: ``StoreUnavailableError``."""

    done: Whole = 0
    total: Whole | None = None
    unit: str = ""
    tokens: Whole = 0
    """Of this attempt."""

    seconds: Number = 0.0
    """Since this attempt's first unit of work was begun."""

    per_second: Number | None = None
    left_seconds: Number | None = None

    @property
    def amount(self) -> str:
        """Such as "1,200/4,800 responses"; empty where nothing was counted."""
        return "" if self.total is None else f"{self.done:,}/{self.total:,} {self.unit}"


class Place(NamedTuple):
    """Where a step writes: the run, its label there, and which shard of it."""

    run: str
    label: str
    shard: str | None = None

    @property
    def name(self) -> str:
        """The object's name in the store."""
        tail = f".{self.shard}" if self.shard else ""
        return f"{folder(self.run)}/{slug(self.label)}{tail}.json"


def folder(run: str) -> str:
    """Where the steps of ``run`` lie in the store. Raises ``ConfigError`` for a name that cannot be a folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", run):
        raise ConfigError(f"run {run!r}: a run's name has 1 to 128 letters, digits, dots, dashes and underscores")
    return f"runs/{run}/steps"


def record(run: str) -> str:
    """The object in the store in which a pipeline's preflight records what ``run`` is: method, settings, steps."""
    return f"{folder(run).removesuffix('/steps')}/settings.json"


def slug(label: str) -> str:
    """A label as a file name: "round 03 · respond" → "round-03-respond"."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


class Journal:
    """Writes one step's entry: at its start, about every ten seconds, and at its end.

    A store that does not answer is the work's concern, not the journal's: then the entry is a little older.
    """

    def __init__(self, store: Store, place: Place, stage: str) -> None:
        self._store = store
        self._name = place.name
        self._written = -INTERVAL_SECONDS
        now = time.time()
        self.entry = Entry(label=place.label, stage=stage, state="running", shard=place.shard, time=now, started=now)

    def start(self) -> None:
        """The step has begun."""
        self._write()

    def hear(self, event: Event) -> None:
        """Takes in an event of the stage."""
        if event["event"] != "progress":
            return
        kept = {name: event[name] for name in PROGRESS}
        self.entry = self.entry.model_copy(update=kept)
        if time.monotonic() - self._written >= INTERVAL_SECONDS:
            self._write()

    def end(self, state: State, ref: Ref | None = None, error: BaseException | None = None) -> None:
        """The step is over; ``error`` is what ended it, where it did not end well."""
        changes = {"state": state, "ref": str(ref) if ref else None, "left_seconds": None}
        self.entry = self.entry.model_copy(update=changes | (_told(error) if error else {}))
        self._write()

    def found_sealed(self, ref: Ref) -> None:
        """The step had nothing to do. What it said when it sealed ``ref`` stays."""
        try:
            before = Entry.model_validate_json(self._store.read(self._name))
        except (FileNotFoundError, ValidationError, StoreUnavailableError):
            before = None
        if before is None or (before.state, before.ref) != ("sealed", str(ref)):
            self.end("sealed", ref)

    def _write(self) -> None:
        self._written = time.monotonic()
        self.entry = self.entry.model_copy(update={"time": time.time()})
        try:
            self._store.write(self._name, self.entry.model_dump_json(indent=1).encode() + b"\n")
        except StoreUnavailableError:
            return


@contextmanager
def kept(journal: Journal) -> Iterator[None]:
    """Keeps that the step has begun, and with what error it ended; ``end`` is the caller's where there is none."""
    journal.start()
    try:
        yield
    except BaseException as error:
        journal.end("stopped" if isinstance(error, Stopped) else "failed", error=error)
        raise


def _told(error: BaseException) -> dict[str, object]:
    said = error if isinstance(error, AlmaError) else as_ours(error)
    if said is not None:
        return {"message": str(said), "exit_code": said.exit_code, "kind": type(said).__name__}
    kind = type(error).__name__
    return {"message": f"{kind}: {error}", "exit_code": EXIT_FAILED, "kind": kind}


def mark_sealed(store: Store, run: str, made: Mapping[str, Ref]) -> None:
    """Notes as sealed what has no entry in this run: a pipeline's cache knew it, so that no step ran to say so."""
    try:
        there = {name.removesuffix(".json").rpartition("/")[2].partition(".")[0] for name in store.list(folder(run))}
    except StoreUnavailableError:
        return
    for label, ref in made.items():
        if slug(label) not in there:
            Journal(store, Place(run, label), ref.stage).end("sealed", ref)


def read(store: Store, run: str) -> list[Entry]:
    """The entries of a run, oldest step first; one that is not readable is left out."""
    return in_order([entry for name in store.list(folder(run)) if (entry := read_entry(store, name))])


def sealed(store: Store, run: str) -> dict[str, Ref]:
    """Label → artifact of all that a run has sealed, oldest step first. Raises ``ConfigError`` for no run's name."""
    done = (entry for entry in read(store, run) if entry.state == "sealed" and entry.ref is not None)
    return {entry.label: Ref.parse(str(entry.ref)) for entry in done}


def in_order(entries: list[Entry]) -> list[Entry]:
    """Oldest step first."""
    return sorted(entries, key=lambda entry: (entry.started, entry.label, entry.shard or ""))


def read_entry(store: Store, name: str) -> Entry | None:
    """One entry, if it is there and readable."""
    try:
        return Entry.model_validate_json(store.read(name))
    except (ValidationError, FileNotFoundError):
        return None


def runs(store: Store) -> list[str]:
    """The names of the runs that have written here."""
    return sorted({name.split("/")[1] for name in store.list("runs") if name.count("/") >= 3})
