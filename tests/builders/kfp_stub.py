"""A STUB of the REST API of Kubeflow Pipelines (v2beta1), served over real HTTP by ``stub_server.served``.

It answers in the API's words: what its handlers check, refuse and return was read in the
server's sources (backend/src/apiserver/server/run_server.go, api_converter.go, template/v2_template.go,
storage/run_store.go). It runs nothing: a run advances by one frame of the test's script with each look at it.

What it does not do: storage, artifacts, recurring runs, archiving, uploads over HTTP, authorization by verb and
namespace (a token is good or not), Argo. It is stricter in one thing: unknown fields of a request are refused.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from tests.builders.stub_server import RefusedError

FROZEN = 2**20
"""Bytes of a workflow object above which Argo gzips the states of its nodes, and KFP's API reports them no more."""

NEVER = "1970-01-01T00:00:00Z"
RUN_FIELDS = {"experiment_id", "display_name", "description", "pipeline_spec", "pipeline_version_reference"}
RUN_FIELDS |= {"runtime_config", "service_account"}
KINDS: dict[str, Any] = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


class KfpStub:
    """The server's state, for a test to set and to look at."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.multi_user = False
        self.tokens: set[str] | None = None
        """Good bearer tokens; none: nobody is asked for one."""
        self.forbidden = False
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.script: list[dict[str, Any]] = [{"state": "SUCCEEDED"}]
        """Frames: state, tasks {key: state or [one per iteration]}, began {key: frame number}, errors {key: text},
        then (called with the run's id at each look that is answered with this frame)."""
        self.scripts: dict[int, list[dict[str, Any]]] = {}
        """Of single runs, by their number, the first 0; the others have ``script``."""

        self.task_bytes = 4_000
        """What a node adds to the workflow object. Above ``FROZEN`` of them the server reports no task any more."""

        self.frames: dict[str, int] = {}
        self.looks_until_canceled = 1
        self.seen: list[tuple[str, str]] = []
        """Every request: method and path."""
        self._faults: list[tuple[str, str, str]] = []
        self.start = datetime.now(UTC)

    def fail(self, fault: str, times: int = 1, *, method: str = "", path: str = "") -> None:
        """The next ``times`` requests that match end in ``fault``.

        A status, "reset", "html", "redirect", "slow SECONDS", or "lost": done, and the answer reset.
        """
        with self.lock:
            self._faults += [(fault, method, path)] * times

    def fault(self, method: str, path: str) -> str:
        with self.lock:
            for i, (fault, of_method, pattern) in enumerate(self._faults):
                if of_method in ("", method) and re.search(pattern, path):
                    del self._faults[i]
                    return fault
        return ""

    def add_pipeline(self, name: str, versions: dict[str, dict[str, Any]]) -> None:
        """As if it had been uploaded, the last version last."""
        pipeline = {"pipeline_id": str(uuid.uuid4()), "display_name": name, "name": name}
        self.pipelines.append(pipeline)
        for i, (version, spec) in enumerate(versions.items()):
            self.versions.append(
                {
                    "pipeline_id": pipeline["pipeline_id"],
                    "pipeline_version_id": str(uuid.uuid4()),
                    "display_name": version,
                    "created_at": stamp(self.start + timedelta(seconds=i)),
                    "pipeline_spec": spec,
                }
            )

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Any:
        """One request. Raises ``RefusedError``."""
        with self.lock:
            if path == "/apis/v2beta1/healthz":
                return {"multi_user": self.multi_user}
            if self.tokens is not None and token not in self.tokens:
                raise RefusedError(
                    401, f"Failed to authorize the request: Unauthenticated: token {token!r} is not valid"
                )
            if self.forbidden:
                raise RefusedError(403, "User 'system:serviceaccount:team:alma' is not authorized: PermissionDenied")
            for of_method, pattern, handler in ROUTES:
                if of_method == method and (found := re.fullmatch("/apis/v2beta1" + pattern, path)):
                    return handler(self, *map(unquote, found.groups()), query=query, body=body)
        raise RefusedError(404, "Not Found")

    def list_experiments(self, query: dict[str, str], body: Any) -> Any:
        self._namespace(query.get("namespace", ""))
        found = [e for e in self.experiments if e["namespace"] == query.get("namespace", "")]
        return paged("experiments", found, query)

    def create_experiment(self, query: dict[str, str], body: Any) -> Any:
        unknown(body, {"display_name", "description", "namespace"})
        if not body.get("display_name"):
            raise RefusedError(400, "Experiment's name cannot be empty")
        self._namespace(body.get("namespace", ""))
        if any(e["display_name"] == body["display_name"] for e in self.experiments):
            raise RefusedError(409, f"The name {body['display_name']} already exist. Please specify a new name")
        experiment = {"namespace": "", **body, "experiment_id": str(uuid.uuid4()), "created_at": stamp(self.start)}
        self.experiments.append(experiment)
        return experiment

    def get_experiment(self, name: str, query: dict[str, str], body: Any) -> Any:
        for experiment in self.experiments:
            if experiment["experiment_id"] == name:
                return experiment
        raise RefusedError(404, f"Experiment {name} not found")

    def _namespace(self, namespace: str) -> None:
        if self.multi_user and not namespace:
            raise RefusedError(400, "An experiment cannot have an empty namespace in multi-user mode")
        if not self.multi_user and namespace:
            raise RefusedError(400, "In single-user mode, a namespace cannot be specified")

    def create_run(self, query: dict[str, str], body: Any) -> Any:
        unknown(body, RUN_FIELDS)
        if not body.get("display_name"):
            raise RefusedError(400, "The run name is empty. Please specify a valid name")
        self.get_experiment(body.get("experiment_id", ""), {}, None)
        reference = body.get("pipeline_version_reference")
        if bool(reference) == bool(body.get("pipeline_spec")):
            raise RefusedError(400, "Failed to create a run: a pipeline spec or a pipeline version is needed, not both")
        package = (
            self.get_version(*reference.values(), {}, None)["pipeline_spec"] if reference else body["pipeline_spec"]
        )
        check_parameters(package.get("pipeline_spec", package), body.get("runtime_config", {}).get("parameters", {}))
        run = {
            **body,
            "run_id": str(uuid.uuid4()),
            "storage_state": "AVAILABLE",
            "created_at": stamp(self.start + timedelta(seconds=len(self.runs))),
            "finished_at": NEVER,
            "state": "PENDING",
            "state_history": [],
        }
        change(run, "PENDING", self.start)
        self.runs.append(run)
        self.frames[run["run_id"]] = -1
        return run

    def run(self, run_id: str) -> dict[str, Any]:
        for run in self.runs:
            if run["run_id"] == run_id:
                return run
        raise RefusedError(404, f"Failed to get a run: ResourceNotFoundError: Run {run_id} not found")

    def get_run(self, run_id: str, query: dict[str, str], body: Any) -> Any:
        run = self.run(run_id)
        if run["state"] == "CANCELING":
            run["looks"] = run.get("looks", 0) + 1
            over = run["looks"] > self.looks_until_canceled
            frame_number = max(0, self.frames[run_id])
            frame = terminated(self._script(run)[frame_number], exit_tasks(self._spec(run)), over=over)
            self._report(run, nodes(run_id, frame, self.start, frame_number))
            if over:
                change(run, "CANCELED", self.start)
                run["finished_at"] = stamp(self.start)
        elif run["state"] in ("PENDING", "RUNNING"):
            script = self._script(run)
            frame_number = self.frames[run_id] = min(self.frames[run_id] + 1, len(script) - 1)
            frame = script[frame_number]
            if then := frame.get("then"):
                then(run_id)
            change(run, frame["state"], self.start + timedelta(seconds=10 * frame_number))
            self._report(run, nodes(run_id, frame, self.start, frame_number))
            if frame["state"] not in ("PENDING", "RUNNING"):
                run["finished_at"] = stamp(self.start + timedelta(seconds=10 * frame_number))
        return {key: value for key, value in run.items() if key != "looks"}

    def _script(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        return self.scripts.get(self.runs.index(run), self.script)

    def _spec(self, run: dict[str, Any]) -> dict[str, Any]:
        reference = run.get("pipeline_version_reference")
        package = self.get_version(*reference.values(), {}, None) if reference else run
        spec: dict[str, Any] = package["pipeline_spec"]
        return dict(spec.get("pipeline_spec", spec))

    def _report(self, run: dict[str, Any], details: list[dict[str, Any]]) -> None:
        """Once Argo gzips the nodes, KFP reads none of them, and what it has stored of the tasks stays as it is."""
        if len(details) * self.task_bytes <= FROZEN or "run_details" not in run:
            run["run_details"] = {"task_details": details}

    def list_runs(self, query: dict[str, str], body: Any) -> Any:
        if self.multi_user and not (query.get("namespace") or query.get("experiment_id")):
            raise RefusedError(400, "Failed to list runs: a namespace is needed in multi-user mode")
        wanted = query.get("experiment_id")
        return paged("runs", [run for run in self.runs if wanted in (None, "", run["experiment_id"])], query)

    def terminate(self, run_id: str, query: dict[str, str], body: Any) -> Any:
        run = self.run(run_id)
        if run["state"] not in ("PENDING", "RUNNING", "PAUSED", "RUNTIME_STATE_UNSPECIFIED"):
            raise RefusedError(400, f"Failed to terminate a run: Failed to terminate a run {run_id}. Row not found")
        change(run, "CANCELING", self.start)
        return {}

    def list_pipelines(self, query: dict[str, str], body: Any) -> Any:
        return paged("pipelines", self.pipelines, query)

    def list_versions(self, pipeline_id: str, query: dict[str, str], body: Any) -> Any:
        return paged("pipeline_versions", [v for v in self.versions if v["pipeline_id"] == pipeline_id], query)

    def get_version(self, pipeline_id: str, version_id: str, query: dict[str, str], body: Any) -> Any:
        for version in self.versions:
            if (version["pipeline_id"], version["pipeline_version_id"]) == (pipeline_id, version_id):
                return version
        raise RefusedError(404, f"PipelineVersion {version_id} not found")


ROUTES = [
    ("GET", "/experiments", KfpStub.list_experiments),
    ("POST", "/experiments", KfpStub.create_experiment),
    ("GET", "/experiments/([^/:]+)", KfpStub.get_experiment),
    ("GET", "/runs", KfpStub.list_runs),
    ("POST", "/runs", KfpStub.create_run),
    ("GET", "/runs/([^/:]+)", KfpStub.get_run),
    ("POST", "/runs/([^/:]+):terminate", KfpStub.terminate),
    ("GET", "/pipelines", KfpStub.list_pipelines),
    ("GET", "/pipelines/([^/:]+)/versions", KfpStub.list_versions),
    ("GET", "/pipelines/([^/:]+)/versions/([^/:]+)", KfpStub.get_version),
]


def change(run: dict[str, Any], state: str, when: datetime) -> None:
    """The run's state, and its history."""
    if not run["state_history"] or run["state_history"][-1]["state"] != state:
        run["state_history"].append({"update_time": stamp(when), "state": state})
    run["state"] = state


def exit_tasks(spec: dict[str, Any]) -> list[str]:
    """Keys of the tasks that run however the others ended."""
    tasks = spec["root"]["dag"]["tasks"]
    wanted = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    return [key for key, task in tasks.items() if task.get("triggerPolicy") == wanted]


def terminated(frame: dict[str, Any], last: list[str], *, over: bool) -> dict[str, Any]:
    """What terminating makes of a frame: launchers end with 143 at once, what waits is left out, the exit task runs."""
    ends = {"RUNNING": "FAILED", "PENDING": "RUNTIME_STATE_UNSPECIFIED"}

    def end(state: Any) -> Any:
        return [ends.get(each, each) for each in state] if isinstance(state, list) else ends.get(state, state)

    tasks = {key: end(state) for key, state in frame.get("tasks", {}).items()}
    killed = {key: "Error (exit code 143)" for key, state in tasks.items() if "FAILED" in state}
    tasks |= dict.fromkeys(last, "SUCCEEDED" if over else "RUNNING")
    return {**frame, "state": "FAILED" if over else "RUNNING", "tasks": tasks, "errors": killed}


def nodes(run_id: str, frame: dict[str, Any], start: datetime, number: int) -> list[dict[str, Any]]:
    """The nodes as Argo leaves them and the server lists them: drivers, DAGs and executors among them."""
    made: list[dict[str, Any]] = []

    def node(name: str, state: str, children: list[str] | None = None, error: str = "") -> str:
        over = state in ("SUCCEEDED", "FAILED", "SKIPPED")
        pod = f"wf-{len(made):03}"
        detail = {
            "run_id": run_id,
            "task_id": str(uuid.uuid4()),
            "display_name": name,
            "create_time": stamp(start),
            "start_time": stamp(
                start + timedelta(seconds=10 * frame.get("began", {}).get(name.removesuffix("-driver"), 0))
            ),
            "end_time": stamp(start + timedelta(seconds=10 * number + 10)) if over else NEVER,
            "state": state,
            "pod_name": pod,
            "child_tasks": [{"pod_name": child} for child in children or []],
        }
        if error:
            detail["state_history"] = [{"state": state, "error": {"code": 13, "message": error}}]
        made.append(detail)
        return pod

    node("root-driver", "SUCCEEDED")
    node("root", frame["state"])
    for key, states in frame.get("tasks", {}).items():
        loop = isinstance(states, list)
        for i, state in enumerate(states if loop else [states]):
            if loop:
                node(f"iteration-iterations({i}:{i})", "RUNNING")
                node("iteration-item-driver", "SUCCEEDED")
            if state == "DRIVER_FAILED":
                node(f"{key}-driver", "FAILED")
                node(key, "RUNTIME_STATE_UNSPECIFIED")
                continue
            node(f"{key}-driver", "SUCCEEDED")
            pod = node("executor", "PENDING" if state == "PENDING" else state)
            node(key, "RUNNING" if state == "PENDING" else state, [pod], frame.get("errors", {}).get(key, ""))
    return made


def paged(name: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of what a listing's filter lets through."""
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        how, text = predicate.get("operation"), predicate.get("stringValue")
        if how not in ("EQUALS", "IS_SUBSTRING") or predicate.get("key") not in ("display_name", "name"):
            raise RefusedError(400, f"Invalid input error: filter {predicate} is not supported")
        found = [str(item["display_name"]) for item in items]
        fits = [name == text if how == "EQUALS" else text in name for name in found]
        items = [item for item, fit in zip(items, fits, strict=True) if fit]
    if query.get("sort_by"):
        key, _, order = query["sort_by"].partition(" ")
        if key not in ("created_at", "display_name", "name"):
            raise RefusedError(400, f"Invalid input error: Invalid sorting field: {key}")
        items = sorted(items, key=lambda item: str(item.get(key)), reverse=order == "desc")
    first, size = int(query.get("page_token") or 0), int(query.get("page_size") or 20)
    token = {"next_page_token": str(first + size)} if first + size < len(items) else {}
    return {name: items[first : first + size], "total_size": len(items), **token} if items else {}


def check_parameters(spec: dict[str, Any], given: dict[str, Any]) -> None:
    """As template/v2_template.go does, in its words."""
    if len(json.dumps(given, separators=(",", ":"), ensure_ascii=False).encode()) > 10_000:
        raise RefusedError(400, "Invalid input error: The input parameter length exceed maximum size of 10000.")
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in declared.items():
        if name in given and not isinstance(given[name], KINDS[parameter["parameterType"]]):
            raise RefusedError(400, f"Invalid input error: input parameter {name} requires another type")
        if name not in given and not parameter.get("isOptional") and "defaultValue" not in parameter:
            raise RefusedError(
                400, f"parameter {name} is not optional, yet has neither default value nor user provided value"
            )
    if extra := set(given) - set(declared):
        raise RefusedError(400, f"parameter(s) provided are not required by pipeline: {', '.join(sorted(extra))}")


def unknown(body: Any, fields: set[str]) -> None:
    if not isinstance(body, dict) or set(body) - fields:
        raise RefusedError(400, f"proto: unknown field {sorted(set(body or {}) - fields)}")


def stamp(moment: datetime) -> str:
    """To the second, as the server keeps times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
