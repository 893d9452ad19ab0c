"""MLflow's tracking server, by its REST API: no library is needed, in a pod or here.

KFP 2.17's MLflow plugin, where its administrator switched it on with ``injectUserEnvVars``, gives every task
``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_ID`` and ``MLFLOW_RUN_ID`` (of the task's own run, which KFP ends),
``MLFLOW_WORKSPACE``, and what it logs in with. Elsewhere the same variables are a person's, and without a run's id a
run is made, and ended, here.

https://github.com/kubeflow/pipelines/tree/master/proposals/12862-mlflow-integration,
https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx

from alma.bounded import within
from alma.engines.curves import Named, Say, flat
from alma.engines.curves.sending import Sending
from alma.errors import ConfigError
from alma.logins import hide_login
from alma.sections import Finetune

TIMEOUT_SECONDS, ANSWER_SECONDS = 10.0, 30.0
"""For each piece of an answer, and for a whole one: at its end a training waits for it."""

MOST_BYTES = 2**24
"""Of one answer; those that are read have some kilobytes."""

MOST_METRICS = 1000
"""Metrics of one request; MLflow takes no more."""

MOST_PARAMETERS = 100
"""Parameters of one request; MLflow takes no more."""

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""What a pod logs in with where ``MLFLOW_TRACKING_AUTH`` is ``kubernetes``; it changes while the pod lives."""


class Mlflow:
    """``alma.engines.curves.Curve``. Curves are sent in the background: a slow server does not slow a training."""

    def __init__(self, cfg: Finetune, training: Named, say: Say) -> None:
        del cfg
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri.startswith(("http://", "https://")):
            raise ConfigError(
                f"report_to = ['mlflow'] needs a tracking server: set MLFLOW_TRACKING_URI to its address, such as "
                f"http://mlflow.mlflow:5000{f' (it is {hide_login(uri)!r})' if uri else ''}, or leave it out"
            )
        self._client = httpx.Client(
            base_url=uri.rstrip("/") + "/api/2.0/mlflow/",
            timeout=TIMEOUT_SECONDS,
            auth=_login(),
            headers={"Accept-Encoding": "identity"},  # what is compressed may grow without a bound
        )
        self._run, self._made, self._training = os.environ.get("MLFLOW_RUN_ID"), False, training
        name = f"report_to: mlflow at {hide_login(uri)}"
        self._sending: Sending[dict[str, Any]] = Sending(self._send, MOST_METRICS, say, name)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Curve``."""
        now = int(time.time() * 1000)
        self._sending.put(
            [{"key": name, "value": value, "timestamp": now, "step": step} for name, value in metrics.items()]
        )

    def close(self, ended: bool) -> None:
        """See ``Curve``. A run that KFP made is KFP's to end."""
        arrived = self._sending.close()
        if self._made and arrived:
            status = "FINISHED" if ended else "KILLED"
            self._post("runs/update", run_id=self._run, status=status, end_time=int(time.time() * 1000))
        self._client.close()

    def _send(self, metrics: list[dict[str, Any]]) -> None:
        if self._run is None:
            self._run, self._made = self._new_run(), True
        self._post("runs/log-batch", run_id=self._run, metrics=metrics)

    def _new_run(self) -> str:
        answer = self._post(
            "runs/create",
            experiment_id=self._experiment(),
            run_name=self._training.title,
            start_time=int(time.time() * 1000),
            tags=[{"key": "alma.artifact", "value": self._training.key}],
        )
        run = str(answer["run"]["info"]["run_id"])
        parameters = [{"key": name, "value": str(value)} for name, value in flat(self._training.settings).items()]
        short = [each for each in parameters if len(each["value"]) <= 500]  # what older servers take
        for start in range(0, len(short), MOST_PARAMETERS):
            self._post("runs/log-batch", run_id=run, params=short[start : start + MOST_PARAMETERS])
        return run

    def _experiment(self) -> str:
        if experiment := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return experiment
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "alma")
        try:
            found = self._ask("GET", "experiments/get-by-name", params={"experiment_name": name})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            return str(self._post("experiments/create", name=name)["experiment_id"])
        return str(found["experiment"]["experiment_id"])

    def _post(self, verb: str, **body: Any) -> dict[str, Any]:
        return self._ask("POST", verb, json=body)

    def _ask(self, method: str, verb: str, **asked: Any) -> dict[str, Any]:
        """The answer. Raises ``httpx``'s errors, and ``ValueError`` for one that is none or has no end."""
        deadline = time.monotonic() + ANSWER_SECONDS
        with self._client.stream(method, verb, headers=_workspace(), **asked) as answer:
            content = b"".join(within(answer.raise_for_status().iter_raw(), MOST_BYTES, deadline))
        read: dict[str, Any] = json.loads(content) if content else {}
        return read


def _workspace() -> dict[str, str]:
    workspace = os.environ.get("MLFLOW_WORKSPACE")
    return {"X-MLflow-Workspace": workspace} if workspace else {}


class _Kubernetes(httpx.Auth):
    """The pod's token, read anew for every request."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {TOKEN_FILE.read_text(encoding='utf-8').strip()}"
        yield request


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _login() -> httpx.Auth | None:
    """By MLflow's own variables, in its order."""
    name, password = (os.environ.get(f"MLFLOW_TRACKING_{each}") for each in ("USERNAME", "PASSWORD"))
    if name and password:
        return httpx.BasicAuth(name, password)
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return _Bearer(token)
    return _Kubernetes() if os.environ.get("MLFLOW_TRACKING_AUTH", "").startswith("kubernetes") else None
