"""A STUB of a Kubernetes cluster that runs Jobs: the calls that ``cluster`` makes, the Job controller, and a kubelet.

The API refuses what the real one would (``job_rules``, ``dependents``) and what the account's roles do not allow. The
controller counts failures, heeds the podFailurePolicy and sets conditions; a pod's container is a process of this
machine (``kubelet``), or what ``start`` makes of it. Not there: limits, nodes (``hold`` says what a scheduler would), a
network of its own, the time that things take.
https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import copy
import re
import signal
import subprocess
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.builders.dependents import KINDS, Dependents
from tests.builders.job_rules import refusals
from tests.builders.kubelet import BIN, Named, Pod, run_here
from tests.builders.stub_server import RefusedError

Object = dict[str, Any]
GROUPS = {"jobs": "batch", "pods": "", **{resource: group for resource, (group, _) in KINDS.items()}}
"""The API group of each resource."""


class ClusterStub:
    """The cluster. ``step`` is one look of controller and kubelet; ``run`` looks until it is closed."""

    def __init__(self, folder: Path, rules: list[Object] | None = None) -> None:
        self.folder = folder
        self.rules = rules
        """Of the account's roles, as in a Role; ``None`` = everything is allowed."""
        self.jobs: dict[str, Object] = {}
        self.dependents = Dependents()
        self.pods: list[Pod] = []
        self.seen: list[tuple[str, str]] = []
        self.backoff_seconds = 0.05
        """For the real one's 10 s; it doubles with every failure of an index."""
        self.environment: dict[str, str] = {}
        """Of the images."""
        self.entry: Callable[[Pod], list[str]] = lambda pod: [str(BIN / "alma")]
        """What ``alma`` is in a pod: tests may put a program in its place that kills itself."""
        self.named: Named = {}
        """What Secrets and ConfigMaps hold, by their names."""
        self.start: Callable[[Pod], subprocess.Popen[bytes]] = self.start_here
        """Starts a pod's container: the process ends as it does, takes its SIGTERM, and writes its log."""
        self.token: str | None = None
        """Of the account that may ask; ``None`` = whoever asks."""
        self.hold: Callable[[Pod], Object | None] = lambda pod: None
        """The status of a pod that does not start, as scheduler and kubelet would write it."""
        self.faults: list[str] = []
        self.broken = ""
        """What the controller died of, if it did."""
        self.lock = threading.RLock()
        self._over = threading.Event()

    # --- the API ---------------------------------------------------------------------------------------------------

    def fault(self, method: str, path: str) -> str:
        return self.faults.pop(0) if self.faults else ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Any:
        found = re.fullmatch(r"/(?:api|apis/([^/]+))/v1/namespaces/[^/]+/([^/]+)(?:/([^/]+))?(/log)?", path)
        group, kind, name, log = found.groups() if found else ("", "", "", "")
        if GROUPS.get(kind) != (group or ""):
            raise RefusedError(404, "the server could not find the requested resource")
        assert not self.broken, self.broken
        if self.token is not None and token != self.token:
            raise RefusedError(401, "Unauthorized")
        verb = {"POST": "create", "DELETE": "delete", "GET": "get" if name else "list"}[method]
        self._allow(verb, group or "", kind + ("/log" if log else ""))
        with self.lock:
            if kind == "pods":
                return self._pods(name, query, log=bool(log))
            if kind in KINDS:
                return self.dependents.create(kind, body) if verb == "create" else self.dependents.get(kind, name)
            if verb == "create":
                return self._create_job(body)
            if verb == "list":
                wanted = dict(each.split("=") for each in query["labelSelector"].split(","))
                jobs = [job for job in self.jobs.values() if wanted.items() <= job["metadata"]["labels"].items()]
                return {"kind": "JobList", "items": jobs}
            if name not in self.jobs:
                raise RefusedError(404, f'jobs.batch "{name}" not found')
            if verb == "delete":
                self._delete_job(name, body or {})
            return self.jobs.get(name, {"kind": "Status"})

    def _allow(self, verb: str, group: str, resource: str) -> None:
        if self.rules is None:
            return
        wanted = (("apiGroups", group), ("resources", resource), ("verbs", verb))
        if not any(all(each in rule[field] for field, each in wanted) for rule in self.rules):
            raise RefusedError(403, f"{resource} is forbidden: cannot {verb} resource")

    def _create_job(self, job: Object) -> Object:
        name = job["metadata"]["name"]
        if name in self.jobs:
            raise RefusedError(409, f'jobs.batch "{name}" already exists')
        if found := refusals(job):
            raise RefusedError(422, f'Job.batch "{name}" is invalid: {"; ".join(found)}')
        job = copy.deepcopy(job)
        job["metadata"]["uid"] = uuid.uuid4().hex
        job["status"] = {"conditions": []}
        job["failures"], job["begun"] = {}, time.monotonic()
        self.jobs[name] = job
        return job

    def _delete_job(self, name: str, body: Object) -> None:
        job = self.jobs[name]
        if body.get("preconditions", {}).get("uid", job["metadata"]["uid"]) != job["metadata"]["uid"]:
            raise RefusedError(409, "the UID in the precondition does not match")
        # The API's default for Jobs leaves pods and all else without an owner, for ever.
        assert body.get("propagationPolicy") in ("Foreground", "Background"), "what belongs to the Job would stay"
        for pod in self.of(name):
            self._end(pod)
        if body["propagationPolicy"] == "Foreground":
            job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.jobs[name]

    def _pods(self, name: str | None, query: dict[str, str], *, log: bool) -> Any:
        if log:
            tail = b"\n".join(self.pod(name).log.splitlines()[-int(query["tailLines"]) :])
            return tail[: int(query["limitBytes"])]
        job = query["labelSelector"].removeprefix("batch.kubernetes.io/job-name=")
        return {"kind": "PodList", "items": [pod.shown() for pod in self.of(job)]}

    # --- what tests ask and do -------------------------------------------------------------------------------------

    def of(self, job: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.job == job]

    def pod(self, name: str | None) -> Pod:
        found = [pod for pod in self.pods if pod.name == name]
        if not found:
            raise RefusedError(404, f'pods "{name}" not found')
        return found[-1]

    def disrupt(self, pod: Pod) -> None:
        """Drains the pod's node."""
        with self.lock:
            pod.conditions.append({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"})
            self._end(pod)

    # --- controller and kubelet ------------------------------------------------------------------------------------

    def run(self) -> None:
        while not self._over.wait(0.02):
            with self.lock:
                try:
                    self.step()
                except BaseException:
                    self.broken = traceback.format_exc()
                    raise

    def close(self) -> None:
        self._over.set()
        with self.lock:
            for pod in self.pods:
                if pod.process and pod.process.poll() is None:
                    pod.process.kill()
                    pod.process.wait()

    def step(self) -> None:
        self.dependents.collect({job["metadata"]["uid"] for job in self.jobs.values()})
        for pod in self.pods:
            self._look(pod)
        for name, job in list(self.jobs.items()):
            if "deletionTimestamp" in job["metadata"]:
                if all(pod.ended is not None for pod in self.of(name)):
                    self.pods = [pod for pod in self.pods if pod.job != name]
                    del self.jobs[name]
            elif not self._has(job, "Failed") and not self._has(job, "Complete"):
                self._control(job)

    def _look(self, pod: Pod) -> None:
        if pod.ended is not None or pod.process is None:
            return
        code = pod.process.poll()
        if code is not None:
            pod.ended = code if code >= 0 else 128 - code
        elif pod.told_to_end and time.monotonic() - pod.told_to_end > pod.spec["terminationGracePeriodSeconds"]:
            pod.process.kill()

    def _end(self, pod: Pod) -> None:
        if pod.ended is None and pod.told_to_end is None:
            pod.told_to_end = time.monotonic()
            if pod.process is None:
                pod.ended = 143
            else:
                pod.process.send_signal(signal.SIGTERM)

    def _has(self, job: Object, condition: str) -> bool:
        return any(each["type"] == condition for each in job["status"]["conditions"])

    def _condition(self, job: Object, kind: str, reason: str, message: str = "") -> None:
        job["status"]["conditions"].append({"type": kind, "status": "True", "reason": reason, "message": message})

    def _control(self, job: Object) -> None:
        name, spec, failures = job["metadata"]["name"], job["spec"], job["failures"]
        pods = self.of(name)
        for pod in pods:
            if pod.ended and not pod.counted:
                pod.counted = True
                self._judge(job, pod)
        limit = spec.get("activeDeadlineSeconds")
        if limit and time.monotonic() - job["begun"] > limit and not self._has(job, "FailureTarget"):
            self._condition(job, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        active = [pod for pod in pods if pod.ended is None]
        done = {pod.index for pod in pods if pod.ended == 0}
        ready = sum(pod.process is not None for pod in active)
        failed = sum(bool(pod.ended) for pod in pods)
        job["status"] |= {"active": len(active), "ready": ready, "succeeded": len(done), "failed": failed}
        if self._has(job, "FailureTarget"):
            for pod in active:
                pod.counted = True
                self._end(pod)
            if not active:
                target = next(each for each in job["status"]["conditions"] if each["type"] == "FailureTarget")
                self._condition(job, "Failed", target["reason"], target["message"])
            return
        lost = {index for index, count in failures.items() if count > spec["backoffLimitPerIndex"]}
        if len(lost) > spec.get("maxFailedIndexes", spec["completions"]):
            self._condition(job, "FailureTarget", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal")
        elif not active and len(done | lost) == spec["completions"]:
            kind, reason = ("Failed", "FailedIndexes") if lost else ("Complete", "CompletionsReached")
            self._condition(job, kind, reason)
        elif not spec.get("suspend"):
            for index in sorted(set(range(spec["completions"])) - done - lost - {pod.index for pod in active}):
                if len(active) < spec["parallelism"] and self._paused(job, index) <= 0:
                    active.append(self._start(job, index))

    def _judge(self, job: Object, pod: Pod) -> None:
        action, rule_index = "Count", 0
        for rule_index, rule in enumerate(job["spec"].get("podFailurePolicy", {}).get("rules", [])):  # noqa: B007
            codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
            if (codes and codes["operator"] == "In" and pod.ended in codes["values"]) or (
                conditions and any(each["type"] == wanted["type"] for each in pod.conditions for wanted in conditions)
            ):
                action = rule["action"]
                break
        if action == "FailJob" and not self._has(job, "FailureTarget"):
            said = f"Container stage for pod {pod.name} failed with exit code {pod.ended} matching FailJob rule"
            self._condition(job, "FailureTarget", "PodFailurePolicy", f"{said} at index {rule_index}")
        elif action == "Count":
            job["failures"][pod.index] = job["failures"].get(pod.index, 0) + 1
            job.setdefault("paused", {})[pod.index] = time.monotonic()

    def _paused(self, job: Object, index: int) -> float:
        count = job["failures"].get(index, 0)
        since = job.get("paused", {}).get(index, 0.0)
        return self.backoff_seconds * 2 ** max(count - 1, 0) - (time.monotonic() - since) if count else 0.0

    def _start(self, job: Object, index: int) -> Pod:
        name = job["metadata"]["name"]
        folder = self.folder / f"{name}-{index}-{uuid.uuid4().hex[:5]}"
        template = job["spec"]["template"]
        pod = Pod(
            folder.name,
            name,
            index,
            job["spec"]["completions"],
            folder,
            template["spec"],
            template["metadata"]["labels"],
        )
        self.pods.append(pod)
        pod.held = self.hold(pod)
        if pod.held:
            return pod
        pod.process = self.start(pod)
        return pod

    def start_here(self, pod: Pod) -> subprocess.Popen[bytes]:
        """The pod's container as a process of this machine."""
        return run_here(pod, self.entry(pod), self.environment, self.named)
