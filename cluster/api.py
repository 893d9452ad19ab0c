"""One door to the Kubernetes API: plain data in and out, patience for what may pass, a sentence for what may not."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alma.errors import AccessError, ConfigError, TransientError
from alma.store.waiting import waiting
from cluster.reach import connection
from cluster.shapes import Object, checked

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

PATIENCE_SECONDS = 900.0
"""How long an API that does not answer is tried: a control plane's upgrade takes minutes, and the Job goes on."""

REQUEST_SECONDS = (10.0, 30.0)
"""To connect, and for a whole answer."""

MOST_LOG_BYTES = 2**20
"""Of a pod's last lines, which may be of any length."""

STOP_SECONDS = 5.0
"""The same, of a process that was asked to stop."""


class Api:
    """Requests about the Jobs of one namespace."""

    def __init__(self, namespace: str | None = None, *, patience: float = PATIENCE_SECONDS) -> None:
        """Raises ``ConfigError`` where nobody says which cluster or namespace."""
        from kubernetes import client

        reached = connection()
        self._batch, self._core = client.BatchV1Api(reached), client.CoreV1Api(reached)
        self._networking = client.NetworkingV1Api(reached)
        self._patience = patience
        self.stopping: Callable[[], bool] = lambda: False
        """Whether this process was asked to stop, when there is no time left for patience."""
        self.namespace = namespace or _own_namespace()

    def create_job(self, job: Object) -> Object | None:
        """The Job as created, or ``None`` where there is one of its name."""
        return self._ask("create", "jobs", self._batch.create_namespaced_job, self.namespace, job, missing=409)

    def job(self, name: str) -> Object | None:
        """The Job, or ``None``."""
        return self._ask("get", "jobs", self._batch.read_namespaced_job, name, self.namespace, missing=404)

    def jobs(self, selector: str) -> list[Object]:
        """The Jobs with these labels."""
        listed = self._ask("list", "jobs", self._batch.list_namespaced_job, self.namespace, label_selector=selector)
        return list((listed or {}).get("items") or [])

    def delete_job(self, name: str, uid: str, *, foreground: bool = False) -> None:
        """Deletes this very Job, its pods and what belongs to it; in the foreground it is there until they are gone."""
        body = {"propagationPolicy": "Foreground" if foreground else "Background", "preconditions": {"uid": uid}}
        delete = self._batch.delete_namespaced_job
        self._ask("delete", "jobs", delete, name, self.namespace, body=body, missing=(404, 409))

    def create_service(self, service: Object) -> Object | None:
        """The Service as created, or ``None`` where there is one of its name."""
        create = self._core.create_namespaced_service
        return self._ask("create", "services", create, self.namespace, service, missing=409)

    def service(self, name: str) -> Object | None:
        """The Service, or ``None``."""
        return self._ask("get", "services", self._core.read_namespaced_service, name, self.namespace, missing=404)

    def create_policy(self, policy: Object) -> Object | None:
        """The NetworkPolicy as created, or ``None`` where there is one of its name."""
        create = self._networking.create_namespaced_network_policy
        return self._ask("create", "networkpolicies", create, self.namespace, policy, missing=409)

    def policy(self, name: str) -> Object | None:
        """The NetworkPolicy, or ``None``."""
        read = self._networking.read_namespaced_network_policy
        return self._ask("get", "networkpolicies", read, name, self.namespace, missing=404)

    def pods(self, job: str) -> list[Object]:
        """The pods of a Job."""
        selector = f"batch.kubernetes.io/job-name={job}"
        listed = self._ask("list", "pods", self._core.list_namespaced_pod, self.namespace, label_selector=selector)
        return list((listed or {}).get("items") or [])

    def last_lines(self, pod: str, lines: int) -> str:
        """The end of a pod's log; empty where it cannot be had."""
        try:
            answer = self._core.read_namespaced_pod_log(
                *(pod, self.namespace),
                tail_lines=lines,
                limit_bytes=MOST_LOG_BYTES,
                _preload_content=False,
                _request_timeout=REQUEST_SECONDS,
            )
            return str(answer.data.decode(errors="replace"))
        except Exception:  # noqa: BLE001 - of whatever kind: the log is a courtesy
            return ""

    def _ask(
        self,
        verb: str,
        resource: str,
        method: Callable[..., Any],
        *given: Any,
        missing: int | tuple[int, ...] = (),
        **named: Any,
    ) -> Object | None:
        """The answer; ``None`` for a status that ``missing`` expects. Tries again what may pass, and says so.

        Raises ``TransientError`` when patience is over, ``AccessError`` and ``ConfigError`` at once.
        """
        with waiting("the Kubernetes API"):
            return self._patiently(verb, resource, method, *given, missing=missing, **named)

    def _patiently(
        self,
        verb: str,
        resource: str,
        method: Callable[..., Any],
        *given: Any,
        missing: int | tuple[int, ...],
        **named: Any,
    ) -> Object | None:
        from kubernetes.client import ApiException

        expected = (missing,) if isinstance(missing, int) else missing
        deadline, pause = time.monotonic() + self._patience, 0.5
        while True:
            try:
                answer = method(*given, _preload_content=False, _request_timeout=REQUEST_SECONDS, **named)
                return checked(verb, resource, json.loads(answer.data))
            except ApiException as error:
                if error.status in expected:
                    return None
                problem = f"{error.status} {_message(error)}"
                self._refuse(error.status or 0, verb, resource, problem)
            except Exception as error:  # noqa: BLE001 - whatever lies between us and the server
                problem = f"{type(error).__name__}: {error}"
            if self.stopping():
                deadline = min(deadline, time.monotonic() + STOP_SECONDS)
                pause = min(pause, STOP_SECONDS / 5)
            if time.monotonic() + pause > deadline:
                raise TransientError(f"the Kubernetes API does not answer ({verb} {resource}): {problem[:500]}")
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, 15.0)

    def _refuse(self, status: int, verb: str, resource: str, problem: str) -> None:
        if "exceeded quota" in problem:
            return  # room comes when other Jobs end
        if status in (401, 403):
            raise AccessError(
                f"the Kubernetes API refuses to {verb} {resource} in the namespace {self.namespace}: {problem}; the "
                "pod's account needs what manifests/base/run-role.yaml grants"
            )
        if 400 <= status < 500 and status not in (408, 409, 429):
            raise ConfigError(f"the Kubernetes API takes no such {resource}: {problem}")


def _own_namespace() -> str:
    found = os.environ.get("POD_NAMESPACE") or (NAMESPACE_FILE.read_text() if NAMESPACE_FILE.is_file() else "")
    if not found:
        raise ConfigError("which namespace? Give --namespace NAME, or POD_NAMESPACE in the environment")
    return found.strip()


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return str(error.reason)
