"""An answer of the API server is bounded in size and in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from pipelines.runs import bounded
from pipelines.runs.bounded import Bounded

TIMEOUT = urllib3.Timeout(connect=1, read=5)


class Pool:
    """Answers with the pieces that it was given."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.headers = urllib3.HTTPHeaderDict({"content-type": "application/json"})
        self.status, self.reason, self.closed = 200, "OK", False

    def request(self, *_: Any, preload_content: bool, **__: Any) -> Pool:
        assert not preload_content
        return self

    def stream(self, _: int) -> Iterator[bytes]:
        yield from self.pieces

    def close(self) -> None:
        self.closed = True


def test_an_answer_is_what_the_client_reads() -> None:
    answer = Bounded(Pool(b"{", b"}")).request("GET", "/", timeout=TIMEOUT)
    assert (answer.data, answer.status, answer.reason) == (b"{}", 200, "OK")
    assert answer.headers["content-type"] == "application/json"


def test_an_answer_without_a_body_is_empty() -> None:
    assert Bounded(Pool()).request("GET", "/", timeout=TIMEOUT).data == b""


@pytest.mark.parametrize(("most", "seconds", "said"), [(2**20, 5, "1 MiB"), (2**26, 1e-9, "no whole answer")])
def test_an_answer_without_end_ends(most: int, seconds: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST_BYTES", most)
    pool = Pool(*[b"x" * 2**16] * 40)
    with pytest.raises(urllib3.exceptions.HTTPError, match=said):
        Bounded(pool).request("GET", "/", timeout=urllib3.Timeout(connect=1, read=seconds))
    assert pool.closed
