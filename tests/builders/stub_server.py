"""Real HTTP servers in front of stubs, with faults on order; and A STUB of the few Kubernetes calls that we make."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlparse

GRPC = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stub(Protocol):
    """What can be served."""

    seen: list[tuple[str, str]]
    """Every request: method and path."""

    def fault(self, method: str, path: str) -> str:
        """How this request is to end, if otherwise than well."""
        ...

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Any:
        """The answer, as JSON has it, or as plain text. Raises ``RefusedError``."""
        ...


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


@contextmanager
def served(stub: Stub, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a stub on a free port; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply("GET")

        def do_POST(self) -> None:
            self.reply("POST")

        def do_DELETE(self) -> None:
            self.reply("DELETE")

        def do_PATCH(self) -> None:
            self.reply("PATCH")

        def reply(self, method: str) -> None:
            url = urlparse(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stub.seen.append((method, url.path))
            fault = stub.fault(method, url.path)
            if fault == "reset":
                return self.reset()
            if fault.startswith("slow"):
                time.sleep(float(fault.split()[1]))
            if fault == "html":
                return self.send(200, b"<html>Sign in</html>", "text/html")
            if fault == "redirect":
                return self.send(302, b"", "text/html", Location="/login")
            try:
                if fault.isdigit():
                    raise RefusedError(int(fault), "upstream connect error")
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                token = re.sub(r"(?i)^bearer ", "", self.headers.get("Authorization") or "")
                status, answer = 200, stub.answer(method, url.path, query, json.loads(content or b"null"), token)
            except RefusedError as error:
                status = error.status
                answer = {"error": str(error), "code": GRPC.get(status, 2), "message": str(error), "details": []}
            if fault == "lost":
                return self.reset()
            if isinstance(answer, bytes):
                return self.send(status, answer, "text/plain")

            if isinstance(answer, str):
                return self.send(status, answer.encode(), "text/plain")
            return self.send(status, json.dumps(answer).encode(), "application/json")

        def send(self, status: int, content: bytes, kind: str, **headers: str) -> None:
            with suppress(ConnectionError):  # who asked may have gone
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        def reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            self.wfile = self.rfile  # nothing is left to flush

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
