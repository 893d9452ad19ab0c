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
from urllib.parse import parse_qs, urlsplit

Fault = str | None
"""One of ``CODES``, ``ON_THE_WAY`` or ``ANSWERS``; ``hold``, or ``reset``, without which nothing is asked or answered.

::

    flip up, cut up        the body arrives with a bit turned, or half of it
    lost                   it is done, and the connection breaks before the answer
    slow, stall            the answer comes bit by bit, or stops for ``Proxy.stall_seconds`` in the middle
    cut, flip, empty       half of the answer's body comes, or a bit of it is turned, or nothing comes
    short                  the answer says that it is half as long as it is
    etag, no etag          the answer has another ETag, or none
    page, noise            the answer is a page of a portal, or no HTTP at all
    half a header, many headers, a long header
    stale                  a listing lacks its last object
"""

CODES: dict[str, tuple[int, bytes]] = {
    "503": (503, b"SlowDown"),
    "429": (429, b"SlowDown"),
    "500": (500, b""),
    "502": (502, b"<html>Bad Gateway</html>"),
    "404": (404, b"NoSuchUpload"),
    "no bucket": (404, b"NoSuchBucket"),
    "403": (403, b"AccessDenied"),
    "401": (401, b""),
    "quota": (403, b"QuotaExceeded"),
    "507": (507, b"XMinioStorageFull"),
    "skewed": (403, b"RequestTimeTooSkewed"),
    "expired": (400, b"ExpiredToken"),
    "301": (301, b"PermanentRedirect"),
    "307": (307, b"TemporaryRedirect"),
    "408": (408, b"RequestTimeout"),
    "409": (409, b"OperationAborted"),
    "501": (501, b"NotImplemented"),
    "601": (601, b"Whatever"),
    "999": (999, b""),
}
ON_THE_WAY = ("flip up", "cut up", "lost", "reset")
ANSWERS = (
    *("slow", "stall", "cut", "flip", "empty", "short", "etag", "no etag", "page", "noise"),
    *("half a header", "many headers", "a long header", "stale"),
)

HOP = ("connection", "transfer-encoding", "content-length")
"""Headers that say how one connection goes, and are no part of the answer."""


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
    stall_seconds: float = 3.0

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
    with _Server(upstream, range_bytes) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.proxy
        finally:
            server.proxy.released.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, range_bytes: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.range_bytes = urlsplit(upstream), range_bytes
        self.proxy = Proxy(f"http://127.0.0.1:{self.server_port}")

    def handle_error(self, *arguments: object) -> None:
        """A client that was killed is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        """Hears a request, and refuses, breaks off, spoils or passes on what is answered, as its fault says."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.server.proxy
        request = parse(self.command, self.path, self.headers.get("Range"), self.server.range_bytes)
        proxy.asked.append(request)
        fault = proxy.fault(request)
        if fault == "hold":
            while not proxy.released.is_set() and not self.is_left():
                proxy.released.wait(0.05)
        if fault == "reset" or self.is_left():
            self.break_off()
            return
        if fault in CODES:
            status, code = CODES[fault]
            data = code if code.startswith(b"<") or not code else b"<Error><Code>%s</Code></Error>" % code
            self.reply(status, [("Content-Length", str(len(data)))], data if self.command != "HEAD" else b"")
            return
        if fault in ("flip up", "cut up") and body:
            body = flipped(body) if fault == "flip up" else body[: len(body) // 2]
        status, headers, length, data = self.ask_upstream(body)
        if fault == "lost":
            self.break_off()
            return
        if fault in ANSWERS and self.spoil(fault, status, headers, length, data):
            return
        proxy.served.append(request)  # before the client can go on
        try:
            self.reply(status, [*headers, ("Content-Length", length)], data)
        except OSError:
            proxy.served.remove(request)
            raise

    def ask_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], str, bytes]:
        """The server's own answer: status, headers that are passed on, the length that it states, and data."""
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        if "Content-Length" in headers:
            headers["Content-Length"] = str(len(body))
        upstream = self.server.upstream
        with closing(http.client.HTTPConnection(str(upstream.hostname), upstream.port)) as to:
            to.request(self.command, self.path, body, headers)
            got = to.getresponse()
            data = got.read()
        length = got.headers["Content-Length"] if self.command == "HEAD" else str(len(data))
        kept = [(name, value) for name, value in got.getheaders() if name.lower() not in HOP]
        return got.status, kept, length or "0", data

    def spoil(self, fault: str, status: int, kept: list[tuple[str, str]], length: str, data: bytes) -> bool:
        """Answers wrongly; ``False`` where this answer cannot be wrong in that way."""
        said = [*kept, ("Content-Length", length)]
        self.close_connection = True
        if fault == "cut":
            self.reply(status, said, data[: len(data) // 2])
        elif fault == "flip" and data:
            self.reply(status, said, flipped(data))
        elif fault == "empty":
            self.reply(status, [*kept, ("Content-Length", "0")], b"")
        elif fault == "short" and data:
            self.reply(status, [*kept, ("Content-Length", str(len(data) // 2))], data[: len(data) // 2])
        elif fault in ("etag", "no etag"):
            others = [(name, value) for name, value in said if name.lower() != "etag"]
            self.reply(status, [*others, *[("ETag", f'"{"0" * 32}"')][: fault == "etag"]], data)
        elif fault == "page":
            page = b"<html><body>Please log in to this network</body></html>"
            headers = [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
            self.reply(200, headers, page if self.command != "HEAD" else b"")
        elif fault == "noise":
            self.wfile.write(b"\0\xff\x13 not of this world\r\n\r\n")
        elif fault == "half a header":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif fault == "many headers":
            self.reply(status, [*said, *((f"x-{number}", "x") for number in range(200))], data)
        elif fault == "a long header":
            self.reply(status, [*said, ("x-long", "x" * 200_000)], data)
        elif fault == "stale" and b"<Contents>" in data:
            start, stop = data.rindex(b"<Contents>"), data.rindex(b"</Contents>") + len(b"</Contents>")
            shorter = data[:start] + data[stop:]
            self.reply(status, [*kept, ("Content-Length", str(len(shorter)))], shorter)
        elif fault == "slow" and data:
            step = max(1, len(data) // 20)
            self.reply(status, said, b"")
            for at in range(0, len(data), step):
                self.wfile.write(data[at : at + step])
                self.wfile.flush()
                self.server.proxy.released.wait(0.02)
        elif fault == "stall":
            self.reply(status, said, data[: len(data) // 2])
            self.server.proxy.released.wait(self.server.proxy.stall_seconds)
            self.wfile.write(data[len(data) // 2 :])
        else:
            self.close_connection = False
            return False
        return True

    def break_off(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()  # it too holds the socket
        self.connection.close()

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


def flipped(data: bytes) -> bytes:
    """With one bit turned, in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


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
