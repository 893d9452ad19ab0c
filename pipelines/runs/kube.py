"""One door to the Kubernetes API for what lies beside a run: its Job, its pods, events. Plain data in and out.

Everything that is asked here only helps a person to see: no answer, or a refusal, never ends what is being followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alma.errors import ConfigError
from cluster.reach import connection
from cluster.shapes import STRANGE
from pipelines.runs.client import NAMESPACE_FILE

Object = dict[str, Any]

REQUEST_SECONDS = (5.0, 5.0)
"""To connect, and for a whole answer."""

MOST_LOG_BYTES = 2**20
"""Of a pod's last lines, which may be of any length."""


class UnknownError(Exception):
    """The Kubernetes API could not be asked."""


class RefusedError(UnknownError):
    """It answers, and the account may not do that."""


class MissingError(UnknownError):
    """It answers, and there is no such thing."""


class Kube:
    """Requests to the API server of the cluster that this process is a pod of, or that KUBECONFIG names."""

    def __init__(self) -> None:
        """Raises ``UnknownError`` where there is no cluster."""
        if not within_reach():
            raise UnknownError("this is no pod, and KUBECONFIG is not set")
        from kubernetes import client

        try:
            reached = connection()
        except ConfigError as error:
            raise UnknownError(str(error)) from None
        self._client = client
        self._batch, self._core = client.BatchV1Api(reached), client.CoreV1Api(reached)

    def job(self, name: str, namespace: str) -> Object:
        """A Job."""
        return _described(self._json("get on jobs", self._batch.read_namespaced_job, name, namespace))

    def annotate(self, name: str, namespace: str, annotations: dict[str, str | None]) -> None:
        """Sets annotations of a Job."""
        body = {"metadata": {"annotations": annotations}}
        self._json("patch on jobs", self._batch.patch_namespaced_job, name, namespace, body)

    def add_event(self, namespace: str, event: Object) -> None:
        """Creates an Event."""
        self._json("create on events", self._core.create_namespaced_event, namespace, event)

    def pods(self, namespace: str, selector: str) -> list[Object]:
        """Pods by their labels."""
        answer = self._json("list on pods", self._core.list_namespaced_pod, namespace, label_selector=selector)
        return [_described(each) for each in answer.get("items") or []]

    def last_lines(self, pod: str, namespace: str, container: str, lines: int) -> list[str]:
        """The end of what a pod's container wrote."""
        named = {"container": container, "tail_lines": lines, "limit_bytes": MOST_LOG_BYTES}
        data = self._ask("get on pods/log", self._core.read_namespaced_pod_log, pod, namespace, **named)
        return data.decode(errors="replace").splitlines()

    def _json(self, what: str, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            found = json.loads(self._ask(what, method, *given, **named))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise UnknownError(STRANGE)
        return found

    def _ask(self, what: str, method: Callable[..., Any], *given: Any, **named: Any) -> bytes:
        try:
            answer = method(*given, _preload_content=False, _request_timeout=REQUEST_SECONDS, **named)
            return bytes(answer.data)
        except self._client.ApiException as error:
            if error.status == 404:
                raise MissingError(f"404 {error.reason}") from None
            text = f"{error.status} {error.reason}: its service account needs {what}"
            raise (RefusedError if error.status in (401, 403) else UnknownError)(text) from None
        except Exception as error:  # noqa: BLE001 - of whatever kind: the answer is "unknown"
            raise UnknownError(type(error).__name__) from None


def _described(found: Any) -> Object:
    """An object of Kubernetes', all of which have metadata. Raises ``UnknownError`` for anything else."""
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise UnknownError(STRANGE)
    return found


@contextmanager
def known() -> Iterator[None]:
    """What is read of an answer that does not hold it. Raises ``UnknownError``."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise UnknownError(STRANGE) from error


def within_reach() -> bool:
    """Whether there is a Kubernetes API to ask."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST") or os.environ.get("KUBECONFIG"))


def own_namespace() -> str | None:
    """The namespace of this pod."""
    named = os.environ.get("POD_NAMESPACE")
    if not named and Path(NAMESPACE_FILE).is_file():
        named = Path(NAMESPACE_FILE).read_text(encoding="ascii").strip()
    return named or None
