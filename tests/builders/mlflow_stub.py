"""A STUB of MLflow's tracking server: the five requests that we make, in the form of its REST API; it is no MLflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = "/api/2.0/mlflow/"


@dataclass
class MlflowStub:
    """What was logged, and who asked."""

    experiments: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By run."""
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    down: bool = False
    """Answers 503."""

    def answer(self, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        if verb.startswith("experiments/get-by-name"):
            name = verb.partition("experiment_name=")[2]
            if name not in self.experiments:
                raise LookupError(name)
            return {"experiment": {"experiment_id": self.experiments[name]}}
        if verb == "experiments/create":
            self.experiments[given["name"]] = str(len(self.experiments) + 1)
            return {"experiment_id": self.experiments[given["name"]]}
        if verb == "runs/create":
            run = f"run-{len(self.runs) + 1}"
            self.runs[run] = given
            return {"run": {"info": {"run_id": run}}}
        if verb == "runs/update":
            self.runs[given["run_id"]] |= given
            return {}
        assert verb == "runs/log-batch", verb
        assert len(given.get("metrics", ())) <= 1000, "MLflow's limit"
        assert len(given.get("params", ())) <= 100, "MLflow's limit"
        self.metrics.setdefault(given["run_id"], []).extend(given.get("metrics", ()))
        found = {each["key"]: each["value"] for each in given.get("params", ())}
        self.parameters.setdefault(given["run_id"], {}).update(found)
        return {}


@contextmanager
def tracking(stub: MlflowStub) -> Iterator[str]:
    """Serves the stub on a free port; yields what ``MLFLOW_TRACKING_URI`` is to be."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.reply(json.loads(body or b"{}"))

        def do_GET(self) -> None:
            self.reply({})

        def reply(self, given: dict[str, Any]) -> None:
            assert self.path.startswith(API), self.path
            verb = self.path.removeprefix(API)
            stub.requests.append(verb)
            stub.headers.append(dict(self.headers))
            status, answer = 200, {}
            try:
                if stub.down:
                    status = 503
                else:
                    answer = stub.answer(verb, given)
            except LookupError:
                status, answer = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
