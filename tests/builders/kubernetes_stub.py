"""A STUB of the few Kubernetes calls by which a run on a server is looked after."""

from __future__ import annotations

import re
from typing import Any

from tests.builders.stub_server import RefusedError


class JobsStub:
    """A STUB of Kubernetes: get and patch of Jobs, list of pods and their logs, create of events."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        """By namespace/name."""
        self.forbidden = False
        self.refused: set[str] = set()
        """Verbs that the account lacks: "patch jobs"."""

        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        """By the pod's name."""

        self.events: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        """As each patch has set them."""

        self.seen: list[tuple[str, str]] = []

    def fault(self, method: str, path: str) -> str:
        return ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Any:
        of_job = re.fullmatch("/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?", path)
        core = re.fullmatch("/api/v1/namespaces/([^/]+)/(pods|events)(?:/([^/]+)/log)?", path)
        verb = {"GET": "get", "PATCH": "patch", "POST": "create", "DELETE": "delete"}[method]
        if self.forbidden or f"{verb} {'jobs' if of_job else core and core[2]}" in self.refused:
            raise RefusedError(403, "forbidden")
        if core and core[2] == "pods" and method == "GET":
            return (
                self._log(core[3])
                if core[3]
                else {"kind": "PodList", "items": self._selected(core[1], query, self.pods)}
            )
        if core and core[2] == "events" and method == "POST":
            assert body["metadata"]["namespace"] == body["involvedObject"]["namespace"] == core[1]
            self.events.append(body)
            return body
        if of_job and not of_job[2] and method == "GET":
            return {"kind": "JobList", "items": self._selected(of_job[1], query, list(self.jobs.values()))}
        if not of_job or "/".join(of_job.groups()) not in self.jobs:
            raise RefusedError(404, "jobs.batch not found")
        if method == "DELETE":
            return self.jobs.pop("/".join(of_job.groups()))
        job = self.jobs["/".join(of_job.groups())]
        if method == "PATCH":
            given = body["metadata"]["annotations"]
            assert all(value is None or isinstance(value, str) for value in given.values())
            self.annotations.append(given)
            kept = {**job["metadata"].get("annotations", {}), **given}
            job["metadata"]["annotations"] = {key: value for key, value in kept.items() if value is not None}
        return job

    def _selected(self, namespace: str, query: dict[str, str], objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        wanted = dict(part.split("=") for part in query["labelSelector"].split(","))
        mine = [each for each in objects if each["metadata"]["namespace"] == namespace]
        return [each for each in mine if wanted.items() <= each["metadata"].get("labels", {}).items()]

    def _log(self, pod: str) -> str:
        if pod not in self.logs:
            raise RefusedError(404, "pods not found")
        return self.logs[pod]

    def add(self, namespace: str, name: str, uid: str, **more: Any) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": uid, **more.pop("metadata", {})}
        self.jobs[f"{namespace}/{name}"] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, **more}
