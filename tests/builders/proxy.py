"""A proxy before an S3 server that counts, holds back and spoils answers: what a network does, at a chosen moment."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Fault = Literal["503", "500", "429", "404", "reset", "cut", "hold"] | None

CODES = {"503": b"SlowDown", "429": b"SlowDown", "500": b"", "404": b"NoSuchUpload"}


@dataclass(frozen=True)
class Request:
    """What was asked: ``number`` is the range's or the part's, from 0 or 1, and ``first`` the range's first byte."""

    method: str
    path: str
    number: int | None
    first: int | None
    is_data: bool


@dataclass
class Proxy:
    """``fault`` says what happens to a request. ``hold`` keeps it until ``released``, or until the client is gone."""

    endpoint: str
    fault: Callable[[Request], Fault] = lambda request: None
    asked: list[Request] = field(default_factory=list)
    served: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def data(self, method: str) -> list[int]:
        """Numbers of the ranges or parts that were served, in order."""
        return sorted(r.number for r in self.served if r.method == method and r.is_data and r.number is not None)

    def forget(self) -> None:
        """Begins to count anew."""
        self.asked.clear()
        self.served.clear()


def fail_first(times: int, fault: Fault, wanted: Callable[[Request], bool]) -> Callable[[Request], Fault]:
    """``fault`` for the first ``times`` requests that are ``wanted``."""
    left = [fault] * times
    lock = threading.Lock()

    def act(request: Request) -> Fault:
        with lock:
            return left.pop() if wanted(request) and left else None

    return act


@contextmanager
def running(upstream: str, range_bytes: int) -> Iterator[Proxy]:
    """A proxy before ``upstream`` on a free port."""
    host, port = urlsplit(upstream).hostname, urlsplit(upstream).port

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = parse(self.command, self.path, self.headers.get("Range"), range_bytes)
            proxy.asked.append(request)
            fault = proxy.fault(request)
            if fault == "hold":
                while not proxy.released.is_set() and not self.is_left():
                    proxy.released.wait(0.05)
            if fault == "reset" or self.is_left():
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.rfile.close()  # it too holds the socket
                self.connection.close()
                return
            if fault in CODES:
                data = CODES[fault] and b"<Error><Code>%s</Code></Error>" % CODES[fault]
                self.reply(int(fault), [("Content-Length", str(len(data)))], data)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            with closing(http.client.HTTPConnection(str(host), port)) as to:
                to.request(self.command, self.path, body, headers)
                got = to.getresponse()
                data = got.read()
            hop = ("connection", "transfer-encoding", "content-length")
            length = got.headers["Content-Length"] if self.command == "HEAD" else str(len(data))
            kept = [(name, value) for name, value in got.getheaders() if name.lower() not in hop]
            if fault == "cut":
                self.reply(got.status, [*kept, ("Content-Length", length)], data[: len(data) // 2])
                self.close_connection = True
                return
            proxy.served.append(request)  # before the client can go on
            try:
                self.reply(got.status, [*kept, ("Content-Length", length or "0")], data)
            except OSError:
                proxy.served.remove(request)
                raise

        def is_left(self) -> bool:
            """Whether the client is gone: its end of the connection is closed."""
            try:
                return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        def reply(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            """A client that was killed is what these tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        try:
            yield proxy
        finally:
            proxy.released.set()
            server.shutdown()
            thread.join()


def parse(method: str, target: str, asked_range: str | None, range_bytes: int) -> Request:
    """A request line as a ``Request``."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    if method == "GET" and asked_range:
        found = re.fullmatch(r"bytes=(\d+)-\d+", asked_range)
        assert found, asked_range
        first = int(found[1])
        return Request(method, parts.path, first // range_bytes, first, is_data=True)
    number = int(query["partNumber"][0]) if "partNumber" in query else None
    return Request(method, parts.path, number, None, is_data=number is not None or (method == "GET" and not query))
