"""``do()`` on one machine: each stage in a process of its own, so that memory and devices are given back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from alma import errors
from alma.artifact import Manifest, Ref, find_manifest
from alma.bounded import unbounded
from alma.errors import AlmaError, InternalError, StageError, Stopped, TransientError
from alma.monitor.journal import PROGRESS, Journal, Place, kept
from alma.progress import Event, hear
from alma.running.stage import check_ports, clear_leftovers, name_work, run
from alma.running.stopping import PARENT, Stop
from alma.sections import Section
from alma.stages import load_stage
from alma.store import Store

Show = Callable[[str, Event], None]
"""Hears of every event with the label of its stage."""

KEPT_LINES = 30
"""Lines of a stage's other output that are shown when it fails."""


class Local:
    """Runs the stages of a recipe, one after the other, and remembers what ran under which label.

    ``isolate=False`` runs them in this process: faster for tiny models, and memory is only given back at the end.
    ``run_name`` keeps the state of every step in the store, for ``alma status``. ``first`` is called once, before the
    first stage that is not sealed.
    """

    def __init__(
        self,
        store: Store,
        base: Path,
        show: Show,
        *,
        isolate: bool = True,
        stop: Stop | None = None,
        run_name: str | None = None,
        first: Callable[[], object] = lambda: None,
    ) -> None:
        self.store = store
        self.base = base
        self.done: dict[str, Manifest] = {}
        self._show = show
        self._isolate = isolate
        self._stop = stop or Stop()
        self._run_name = run_name
        self._first = first

    def __call__(self, stage: str, section: Section, *, label: str, **inputs: Ref | None) -> Ref:
        """Runs the stage unless its artifact is sealed; see ``alma.recipes.Do``. Errors name the label."""
        hear(partial(self._show, label))
        try:
            return self._do(stage, section, label, inputs)
        except AlmaError as error:
            raise type(error)(f"{label}: {error}") from error

    def _do(self, stage: str, section: Section, label: str, inputs: dict[str, Ref | None]) -> Ref:
        if self._stop():
            raise Stopped("stopped as asked; run the same command again to resume")
        loaded = load_stage(stage)
        check_ports(loaded, inputs)
        ref, _, _ = name_work(loaded, section, inputs, self.base)
        manifest = find_manifest(self.store, ref)
        if manifest is None:
            self._first()
            self._first = lambda: None
        self._show(label, {"event": "sealed" if manifest else "start", "stage": stage, "key": ref.key})
        journal = Journal(self.store, Place(self._run_name, label), stage) if self._run_name else None
        if manifest is None:
            if self._isolate:
                self._in_process_of_its_own(stage, section, label, inputs)
            else:
                self._in_this_process(stage, section, label, inputs, journal)
            manifest = find_manifest(self.store, ref)
            if manifest is None:
                raise TransientError(f"ended without a manifest for {ref}: its source changed meanwhile; run again")
            self._show(label, {"event": "end", "stage": stage, "key": ref.key, "metrics": manifest.metrics})
        else:
            clear_leftovers(self.store, manifest)
            if journal:
                journal.found_sealed(ref)
        self.done[label] = manifest
        return ref

    def _in_this_process(
        self, stage: str, section: Section, label: str, inputs: dict[str, Ref | None], journal: Journal | None
    ) -> None:
        def emit(event: Event) -> None:
            self._show(label, event)
            if journal:
                journal.hear(event)

        with kept(journal) if journal else nullcontext():
            manifest = run(stage, section, inputs, self.store, base=self.base, emit=emit, stopping=self._stop)
        if journal:
            journal.end("sealed", manifest.ref)

    def _in_process_of_its_own(self, stage: str, section: Section, label: str, inputs: dict[str, Ref | None]) -> None:
        command = [sys.executable, "-m", "alma", "stage", stage, "--log", "json", "--base", str(self.base)]
        command += ["--store", self.store.uri, "--config", section.model_dump_json()]
        if self._run_name:
            command += ["--run", self._run_name, "--label", label]
        for port, ref in inputs.items():
            if ref is not None:
                command += ["--in", f"{port}={ref}"]
        environment = os.environ | {PARENT: str(os.getpid())}
        # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
        with unbounded():
            child = subprocess.Popen(  # noqa: S603 - our own interpreter, arguments as a list
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,
            )
        with child:
            self._stop.then = child.terminate  # it publishes what it has and exits; we wait for that
            try:
                error, lines = self._follow(child, label)
                code = child.wait()
            finally:
                self._stop.then = lambda: None
        if code:
            raise _as_raised(error, code, lines)

    def _follow(self, child: subprocess.Popen[str], label: str) -> tuple[Event | None, list[str]]:
        error: Event | None = None
        lines: list[str] = []
        assert child.stderr is not None
        for line in child.stderr:
            event = _event(line)
            if event is None:
                lines = [*lines[1 - KEPT_LINES :], line]
            elif event["event"] == "error":
                error = event
            elif event["event"] not in ("start", "end"):  # those are said here
                self._show(label, event)
        return error, lines


_HELD = {"progress": PROGRESS, "note": ("message",), "error": ("kind", "message")}
"""What a line has to hold that is shown as such an event; a library may write lines of JSON of its own."""


def _event(line: str) -> Event | None:
    if not line.startswith("{"):
        return None
    try:
        event: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    if any(name not in event for name in _HELD.get(event["event"], ())):
        return None
    return {name: value for name, value in event.items() if name not in ("label", "time")}  # ours replace them


_RAISED: dict[str, type[AlmaError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, AlmaError)
}


def _as_raised(error: Event | None, code: int, lines: list[str]) -> AlmaError:
    if error is not None and error.get("kind") == InternalError.__name__:
        return InternalError(f"{error['message']}\n{''.join(lines)}".rstrip())
    if error is not None and error.get("kind") in _RAISED:
        return _RAISED[error["kind"]](error["message"])
    if code < 0:
        return TransientError(f"its process was killed by signal {-code}; run the same command again to resume")
    return StageError(f"its process ended with exit code {code}\n{''.join(lines)}".rstrip())
