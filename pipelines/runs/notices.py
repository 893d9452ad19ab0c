"""What a follower shows, on the Kubernetes Job that it is the pod of: annotations and Events.

``kubectl get job -o custom-columns=…`` and ``kubectl describe job`` show them. Whatever hinders that is told once, and
never ends following.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from alma.pace import Progress
from pipelines.runs.events import Events, duration
from pipelines.runs.job import Job
from pipelines.runs.kube import Kube, RefusedError, UnknownError

_Write = Callable[[Kube, Job], None]

PREFIX = "alma/"
"""Of the annotations, as of those on alma's other Jobs. Without a dot, which custom-columns would want escaped."""

EVERY_SECONDS = 30.0
"""Between two writes of annotations that only say more of the same."""

MAX_MESSAGE = 1000
"""Characters; Kubernetes takes 1024."""


class Notices:
    """The notices on one Job; of a person's shell (no Job) there are none."""

    def __init__(self, job: Job | None, events: Events) -> None:
        self._job, self._events = job, events
        self._kube: Kube | None = None
        self._written: dict[str, str | None] = {}
        self._when = 0.0
        self._refused: set[str] = set()

    def show(self, run_id: str, name: str, state: str, attempt: int, at: Progress) -> None:
        """Writes how far the run is into the Job's annotations, where that has changed."""
        left = None if at.left_seconds is None else duration(at.left_seconds)
        values: dict[str, str | None] = {
            "run-id": run_id,
            "run": name,
            "state": state,
            "attempt": str(attempt),
            "round": at.layer or None,
            "rounds": f"{at.rounds_done}/{at.rounds}" if at.rounds else None,
            "percent": str(at.percent),
        }
        named = {f"{PREFIX}{key}": value for key, value in values.items()}
        left_named = {f"{PREFIX}left": left}
        soon = any(self._written.get(key) != value for key, value in named.items())
        if not soon and (self._written.get(f"{PREFIX}left") == left or time.monotonic() - self._when < EVERY_SECONDS):
            return
        if self._do("annotations", lambda kube, job: kube.annotate(job.name, job.namespace, named | left_named)):
            self._written, self._when = named | left_named, time.monotonic()

    def say(self, reason: str, message: str, *, warning: bool = False) -> None:
        """An Event about the Job. ``reason`` is one word in UpperCamelCase."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

        def write(kube: Kube, job: Job) -> None:
            kube.add_event(
                job.namespace,
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": f"{job.name}.{uuid.uuid4().hex[:16]}", "namespace": job.namespace},
                    "involvedObject": {
                        "apiVersion": "batch/v1",
                        "kind": "Job",
                        "name": job.name,
                        "namespace": job.namespace,
                        "uid": job.uid,
                    },
                    "reason": reason,
                    "message": message[:MAX_MESSAGE],
                    "type": "Warning" if warning else "Normal",
                    "source": {"component": "alma"},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                },
            )

        self._do("events", write)

    def _do(self, what: str, write: _Write) -> bool:
        if self._job is None or what in self._refused:
            return False
        try:
            self._kube = self._kube or Kube()
            write(self._kube, self._job)
        except UnknownError as error:
            if isinstance(error, RefusedError) or self._kube is None:
                self._refused.add(what)
                self._events.tell("notices", f"the Job gets no {what}: {error}", what=what, message=str(error))
            return False
        return True
