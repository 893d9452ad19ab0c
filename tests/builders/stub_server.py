"""Real HTTP servers in front of stubs, with faults on order."""

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


@contextmanager
def served(stub: Stub, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves a stub on a free port; yields its URL."""
    with _Server(stub) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stub: Stub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stub = stub

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.reply("GET")

    def do_POST(self) -> None:
        self.reply("POST")

    def do_DELETE(self) -> None:
        self.reply("DELETE")

    def do_PATCH(self) -> None:
        self.reply("PATCH")

    def reply(self, method: str) -> None:
        stub = self.server.stub
        url = urlparse(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        stub.seen.append((method, url.path))
        fault = stub.fault(method, url.path)
        if fault == "reset":
            return self.reset()
        if fault.startswith("slow"):
            time.sleep(float(fault.split()[1]))
        if fault == "html":
            return self.send(200, b"<html>Sign in</html>", "text/html; charset=no-such")
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
