"""Follows a Job to its end, and says on the way what a person would look for with kubectl."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from alma.errors import ConfigError, TransientError
from alma.progress import Emit
from cluster.adopt import finished
from cluster.api import Api
from cluster.failure import failure
from cluster.names import LABEL, RUN
from cluster.placement import StagePlacement
from cluster.pods import Death, death, index_of, waiting
from cluster.progress import entries, places, together
from cluster.shapes import Object
from cluster.work import Work

POLL_SECONDS = 5.0
PROGRESS_SECONDS = 15.0
HOPELESS_SECONDS = 600.0
"""How long an image that cannot be pulled, or a container that cannot be made, is waited for."""

NO_PODS_SECONDS = 120.0
LINES = 20
"""Of a failed pod's log."""


class Follower:
    """What was seen of one Job so far."""

    def __init__(self, api: Api, work: Work, placement: StagePlacement, job: Object, emit: Emit) -> None:
        self._api, self._work, self._placement, self._emit = api, work, placement, emit
        self._name, self._uid = job["metadata"]["name"], job["metadata"]["uid"]
        labels, annotations = job["metadata"]["labels"], job["metadata"]["annotations"]
        num_shards = 1 if "subdomain" in job["spec"]["template"]["spec"] else job["spec"].get("completions") or 1
        self._places = places(labels.get(RUN, work.run), annotations.get(LABEL, work.label), num_shards)
        self._deaths: dict[str, Death] = {}
        self._since: dict[str, float] = {}
        self._said: dict[str, Any] = {}
        self._shown = 0.0
        self._start = time.monotonic()

    def follow(self, wait: Callable[[float], bool], poll: float, hopeless: float = HOPELESS_SECONDS) -> bool:
        """Until the Job is complete; false where ``wait`` (a pause in seconds) said to end before.

        Raises what the Job failed of, ``ConfigError`` for pods that cannot start, ``TransientError`` where the Job is
        gone.
        """
        while True:
            job = self._api.job(self._name)
            if job is None or job["metadata"]["uid"] != self._uid or "deletionTimestamp" in job["metadata"]:
                raise TransientError(f"the Job {self._name} was deleted while it was followed")
            pods = self._api.pods(self._name)
            self._bury(pods)
            end = finished(job)
            if end == "Failed":
                raise failure(job, list(self._deaths.values()), self._work.ref.stage, self._placement)
            self._progress(last=end is not None)
            if end:
                return True
            self._stand(job)
            self._held_up(job, pods, hopeless)
            if wait(poll):
                return False

    def _bury(self, pods: list[Object]) -> None:
        """Tells of pods that have failed since, with the last lines of each."""
        for pod in sorted(pods, key=index_of):
            uid = pod["metadata"]["uid"]
            if pod.get("status", {}).get("phase") == "Failed" and uid not in self._deaths:
                log = self._api.last_lines(pod["metadata"]["name"], LINES)
                dead = self._deaths[uid] = death(pod, log, self._work.ref.stage, self._placement)
                self._emit({"event": "note", "message": dead.message, "lines": list(dead.lines)})

    def _progress(self, *, last: bool) -> None:
        if last or time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._shown = time.monotonic()
            event = together(entries(self._work.store, self._places))
            if event and self._said.get("progress") != event:
                self._said["progress"] = event
                self._emit(event)

    def _stand(self, job: Object) -> None:
        """How many pods are done, run and wait, whenever that changes."""
        status, total = job.get("status", {}), job["spec"].get("completions") or 1
        if job["spec"].get("suspend"):
            queue = self._placement.queue
            self._say("stand", f"the Job {self._name} waits to be admitted" + (f" to the queue {queue}" * bool(queue)))
            return
        done, runs = status.get("succeeded", 0), status.get("ready", 0)
        waits = status.get("active", 0) - runs
        self._say("stand", f"{self._name}: {done} of {total} pods done, {runs} running, {waits} not ready")

    def _held_up(self, job: Object, pods: list[Object], hopeless: float) -> None:
        """Says why pods do not start; raises ``ConfigError`` when that has gone on for ``hopeless`` seconds."""
        now, kinds = time.monotonic(), set()
        for pod in pods:
            held = waiting(pod, self._work.ref.stage, self._placement)
            if held and held.what not in kinds:
                kinds.add(held.what)
                since = self._since.setdefault(held.what, now)
                self._say(held.what, held.message)
                if held.hopeless and now - since >= hopeless:
                    raise ConfigError(f"for {round(now - since)} s {held.message}")
        self._since = {what: since for what, since in self._since.items() if what in kinds}
        idle = not pods and not job["spec"].get("suspend")
        if idle and now - self._start >= NO_PODS_SECONDS:
            self._say(
                "no pods",
                f"the Job {self._name} has no pods after {NO_PODS_SECONDS:g} s: 'kubectl describe job {self._name}' "
                f"tells why (a quota, Pod Security, or no service account {self._placement.service_account})",
            )

    def _say(self, what: str, message: str) -> None:
        if self._said.get(what) != message:
            self._said[what] = message
            self._emit({"event": "note", "message": message})
