"""Servers, drawn: what answers where a store, an endpoint or Kubeflow Pipelines should, and is none of them."""

from __future__ import annotations

import functools
import random
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.campaign.inputs import Case

ROOT = Path(__file__).parents[2]

STATUS = (
    *(99, 101, 200, 200, 200, 200, 201, 204, 206, 300, 301, 302, 304, 307, 400, 401, 403, 404, 404, 405, 409, 412),
    *(418, 429, 500, 503, 600, 777, 999),
)
BODIES = (
    *(b"", b"{}", b"[]", b"null", b'"x"', b"[" * 100_000, b"1" * 5000, b"\xff\xfe", b"<html>Log in</html>", b"\0"),
    *(b'{"error": ' + b"[" * 980 + b"]" * 980 + b"}", b'{"error": "\x1b[31m\xe2\x80\xae"}', b'{"message": {"a": [1]}}'),
    *(b'{"data": [{"id": null}]}', b'{"data": [1]}', b'{"data": [{"id": "m"}]}', b'{"runs": [{}]}', b'{"runs": [1]}'),
    *(
        b'{"state": "x", "run_id": 5}',
        b"<Error>" * 5000,
        b"<Error><Code>\x01</Code></Error>",
        b"<Error><Code/></Error>",
    ),
    b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
    b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
)
HEADERS = (
    *("", "", "Content-Type: application/json", "Content-Type: text/html; charset=nope", "ETag:", "Last-Modified: x"),
    *("Retry-After: " + "9" * 5000, "Retry-After: Mon, 99 Foo 9999 99:99:99 GMT", "X: " + "y" * 60_000, "\0: x"),
    *("Content-Encoding: gzip", "Content-Encoding: x", "Location: //[", "Location: http://a..b/", "Location: file:///"),
    *("x-amz-bucket-region: ../x", "Transfer-Encoding: chunked", "Content-Length: -5", "Content-Length: 1\r\nX: y"),
)
WHOLE = (
    *(b"", b"\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n{}", b"HTTP/1.1 abc X\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02"),
    *(b"HTTP/1.1 200 OK\r\nBad\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n" + b"a" * 200_000, b"<html>"),
)
ENDLESS = (b"x" * 65_536, b"[" * 65_536, b" " * 65_536)


class _Server(socketserver.ThreadingTCPServer):
    """Answers a request for ``/7/…`` with the seventh of ``answers``: its beginning, then what comes without end."""

    daemon_threads = True
    allow_reuse_address = True
    answers: list[tuple[bytes, bytes]]


class _Handler(socketserver.StreamRequestHandler):
    """Reads a request's head, and says what was drawn."""

    def handle(self) -> None:
        line = self.rfile.readline(2**16).decode("latin-1")
        while self.rfile.readline(2**16).strip():
            pass
        number = line.partition("/")[2].partition("/")[0].partition("?")[0]
        assert isinstance(self.server, _Server)
        first, endless = self.server.answers[int(number)] if number.isdigit() else (b"HTTP/1.1 404 X\r\n\r\n", b"")
        try:
            self.wfile.write(first)
            for piece in _repeated(endless):
                self.wfile.write(piece)
        except OSError:  # it has seen enough
            pass


def _repeated(piece: bytes) -> Iterator[bytes]:
    while piece:
        yield piece


@functools.cache
def _server() -> _Server:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answers = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def answers(draw: random.Random, folder: Path, world: Path) -> Case:
    """A command that asks a server, and what that says."""
    del world
    server = _server()
    server.answers.append(_drawn(draw))
    number = len(server.answers) - 1
    url = f"http://127.0.0.1:{server.server_address[1]}/{number}"
    note = repr(server.answers[-1][0][:80])
    patience = ["--host", url, "--timeout", "2", "--lost-after", "1", "--refused-after", "1"]
    openai = f"{{endpoint = '{url}/v1', model = 'm', retries = 0, timeout_seconds = 3}}"
    chat = ["--set", "alma.respond.engine=openai", "--set", f"alma.respond.openai={openai}"]
    run_file = str(ROOT / "examples" / "micro.toml")
    of_store = ["--store", "s3://bucket/a"]
    program, *arguments = draw.choice(
        [
            ["pipelines", "list", *patience],
            ["pipelines", "status", "some-run", *patience],
            ["pipelines", "stop", "some-run", "--stop-seconds", "2", *patience],
            ["alma", "show", "ingest/0123456789abcdef0123", *of_store],
            ["alma", draw.choice(("status", "trace")), "select-0123456789abcdef0123-1", *of_store],
            ["alma", "stage", "ingest", "--config", '{"kind": "pairs", "source": "s3://bucket/x.jsonl"}'],
            ["alma", "run", run_file, "--in-process", "--store", str(folder / "store"), *chat],
        ]
    )
    return Case(program, arguments, folder, note=note, environment={"AWS_ENDPOINT_URL": url})


def _drawn(draw: random.Random) -> tuple[bytes, bytes]:
    chance = draw.random()
    if chance < 0.15:
        return draw.choice(WHOLE), b""
    if chance < 0.25:
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", draw.choice(ENDLESS)
    body = draw.choice(BODIES)
    status, reason = draw.choice(STATUS), draw.choice(("X", "", "a\x1b[31m"))
    headers = [f"HTTP/1.1 {status} {reason}"]
    headers += [draw.choice(HEADERS), draw.choice((f"Content-Length: {len(body)}", "Content-Length: 999999", ""))]
    return "\r\n".join(each for each in headers if each).encode() + b"\r\n\r\n" + body, b""
