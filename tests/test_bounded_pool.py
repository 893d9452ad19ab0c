"""An answer of an API server is bounded in size and in time."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
import urllib3

from alma import bounded_pool
from alma.bounded_pool import BoundedPool

TIMEOUT = urllib3.Timeout(connect=1, read=5)


class Pool:
    """Answers with the pieces that it was given."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.headers = urllib3.HTTPHeaderDict({"content-type": "application/json"})
        self.status, self.reason, self.closed = 200, "OK", False

    def request(self, *_: Any, preload_content: bool, **__: Any) -> Pool:
        assert not preload_content
        return self

    def read1(self, _: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True


def test_an_answer_is_what_the_client_reads() -> None:
    answer = BoundedPool(Pool(b"{", b"}")).request("GET", "/", timeout=TIMEOUT)
    assert (answer.data, answer.status, answer.reason) == (b"{}", 200, "OK")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("head", ["Content-Length: 2000", "Transfer-Encoding: chunked", "Connection: close"])
def test_an_answer_that_comes_by_the_byte_ends_in_time(head: str) -> None:
    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(2**16)
            connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
            for _ in range(100):
                connection.sendall(b"1\r\nx\r\n" if "chunked" in head else b"x")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server, urllib3.PoolManager() as pool:
        dripping = threading.Thread(target=drip, args=(server,))
        dripping.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(urllib3.exceptions.HTTPError, match=r"no whole answer within 0\.5 s"):
            BoundedPool(pool).request("GET", url, timeout=urllib3.Timeout(connect=1, read=0.5), retries=False)
        dripping.join()


def test_a_chunked_answer_is_read_whole() -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(2**16)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')

    with socket.create_server(("127.0.0.1", 0)) as server, urllib3.PoolManager() as pool:
        answering = threading.Thread(target=answer, args=(server,))
        answering.start()
        found = BoundedPool(pool).request("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=TIMEOUT)
        answering.join()
    assert found.data == b'{"a":1}'


def test_an_answer_without_a_body_is_empty() -> None:
    assert BoundedPool(Pool()).request("GET", "/", timeout=TIMEOUT).data == b""


@pytest.mark.parametrize(("most", "seconds", "said"), [(2**20, 5, "1 MiB"), (2**26, 1e-9, "no whole answer")])
def test_an_answer_without_end_ends(most: int, seconds: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_pool, "MOST_BYTES", most)
    pool = Pool(*[b"x" * 2**16] * 40)
    with pytest.raises(urllib3.exceptions.HTTPError, match=said):
        BoundedPool(pool).request("GET", "/", timeout=urllib3.Timeout(connect=1, read=seconds))
    assert pool.closed
