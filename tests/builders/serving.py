"""A STUB of an OpenAI-compatible server: real HTTP, faults on order; what is answered is the stub's own."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass
class Fault:
    """How a request ends instead: an HTTP status, ``reset``, or a body as it is."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False


@dataclass(kw_only=True)
class Served:
    """What goes wrong, and what was seen."""

    path: ClassVar[str]
    """Of the requests that ``complete`` answers."""

    name: str = "served"
    key: str | None = None
    context: int | None = None
    delay: Callable[[], float] = lambda: 0.0
    faults: deque[Fault | None] = field(default_factory=deque)
    """Of the next completions, one each; ``None`` = well."""
    lists: Fault | None = None
    """Of ``/models``."""
    change: Callable[[dict[str, Any]], object] = lambda _: None
    """What to do with an answer before it is sent."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    peak: int = 0

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.in_flight = 0

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer. Raises ``LookupError`` for another model, ``ValueError`` for what is refused."""
        raise NotImplementedError


@contextmanager
def serving(stub: Served) -> Iterator[str]:
    """Serves a stub on a free port; yields the address up to ``/v1``."""
    with _Server(stub) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stub: Served) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        stub = self.server.stub
        if self.allowed():
            model = {"id": stub.name, "object": "model"}
            listed = {**model, "max_model_len": stub.context} if stub.context else model
            self.reply(stub.lists, lambda: {"object": "list", "data": [listed]})

    def do_POST(self) -> None:
        stub = self.server.stub
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != stub.path:
            return self.send(404, b'{"detail": "Not Found"}')
        if not self.allowed():
            return None
        with stub.lock:
            stub.bodies.append(body)
            stub.in_flight += 1
            stub.peak = max(stub.peak, stub.in_flight)
            fault = stub.faults.popleft() if stub.faults else None
        time.sleep(stub.delay())

        def answer() -> dict[str, Any]:
            done = stub.complete(body)
            stub.change(done)
            return done

        try:
            return self.reply(fault, answer)
        finally:
            with stub.lock:
                stub.in_flight -= 1

    def allowed(self) -> bool:
        """Answers 401, with the key that was given, as some servers do."""
        stub, given = self.server.stub, (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if stub.key is None or given == stub.key:
            return True
        self.send(401, json.dumps({"error": {"message": f"Incorrect API key provided: {given}"}}).encode())
        return False

    def reply(self, fault: Fault | None, answer: Callable[[], dict[str, Any]]) -> None:
        if fault is None:
            try:
                return self.send(200, json.dumps(answer()).encode())
            except LookupError as error:
                return self.send(404, json.dumps({"error": {"message": f"The model {error} is none"}}).encode())
            except ValueError as error:
                return self.send(400, json.dumps({"error": {"message": str(error)}}).encode())
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.wfile = self.rfile  # nothing is left to flush
            return self.connection.close()
        return self.send(fault.status, fault.body, **fault.headers)

    def send(self, status: int, content: bytes, **headers: str) -> None:
        with suppress(ConnectionError):  # who asked may have gone
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass
