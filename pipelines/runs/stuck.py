"""Pods that do not begin for long: told once each, with what to mend. The cluster keeps trying by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from pipelines.package import Task
from pipelines.runs.events import Events
from pipelines.runs.kube import Kube, UnknownError, within_reach
from pipelines.runs.notices import Notices
from pipelines.runs.pods import stuck
from pipelines.runs.steps import state_of

LOOK_SECONDS = 60.0
"""Between two looks at the pods that are pending."""


class Stuck:
    """Looks for pods that stay pending."""

    def __init__(self, where: Callable[[Any], str], after: float, events: Events, notices: Notices) -> None:
        """``where`` says in which namespace a run's pods are; ``after`` so many seconds a pod is told of."""
        self._namespace, self._after, self._events, self._notices = where, after, events, notices
        self._since: dict[str, float] = {}
        self._told: set[str] = set()
        self._looked = -LOOK_SECONDS
        self._kube: Kube | None = None
        self._where = ""
        self._off = not within_reach()

    def look(self, run: Any, tasks: Sequence[Task]) -> None:
        """Tells of each pod that has been pending for long why it is."""
        now = time.monotonic()
        if self._off or state_of(run) != "RUNNING" or now - self._looked < min(LOOK_SECONDS, self._after):
            return
        self._looked = now
        try:
            self._kube = self._kube or Kube()
            self._where = self._where or self._namespace(run)
            found = stuck(self._kube, str(run.run_id), self._where, tasks)
        except UnknownError:
            self._off = self._kube is None
            return
        self._since = {pod: self._since.get(pod, now) for pod in found}
        for pod, text in found.items():
            if pod not in self._told and now - self._since[pod] >= self._after:
                self._told.add(pod)
                self._events.tell("stuck", text, pod=pod, message=text)
                self._notices.say("PodStuck", text, warning=True)
