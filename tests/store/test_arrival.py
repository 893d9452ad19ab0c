"""What is damaged on its way is sent or fetched again; what always is ends in an error; nothing waits in silence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alma.errors import IntegrityError, StoreUnavailableError
from alma.progress import Event, hear, json_lines
from alma.retry import Backoff
from alma.store import open_store, transfer, upload, waiting
from alma.store.arrival import Agreed, DamagedError, arrived, sums_of
from alma.store.multipart import PART_BYTES
from alma.store.s3 import S3Store
from tests.builders.proxy import Proxy, fail_first

if TYPE_CHECKING:
    pass

LARGE = PART_BYTES + 5


@pytest.fixture
def proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """As of all tests here, without the patience."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    for module in (transfer, upload):
        monkeypatch.setattr(module, "BACKOFF", Backoff(0.001, 0.001))
    return proxy


@pytest.fixture(params=[100, LARGE], ids=["small", "in parts"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(hashlib.shake_256(b"alma").digest(request.param))
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("fault", "setting"),
    [
        *((fault, "when_supported") for fault in ("flip up", "cut up", "etag", "no etag", "lost", "reset")),
        *((fault, "when_required") for fault in ("flip up", "cut up")),
    ],
)
def test_what_arrives_damaged_once(
    s3_store_uri: str, proxy: Proxy, file: Path, monkeypatch: pytest.MonkeyPatch, fault: str, setting: str
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", setting)
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", setting)
    store = open_store(s3_store_uri)
    proxy.fault = fail_first(1, fault, lambda request: request.method == "PUT")
    store.upload(file, "a")
    proxy.fault = fail_first(1, fault, lambda request: request.method == "PUT")
    store.write("b", b"small")
    proxy.fault = lambda request: None
    assert store.download("a", file.with_name("got")) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert store.read("b") == b"small"


def test_what_always_arrives_damaged(store: S3Store, proxy: Proxy, file: Path) -> None:
    proxy.fault = lambda request: "flip up" if request.method == "PUT" else None
    with pytest.raises(StoreUnavailableError, match="damaged"):
        store.upload(file, "a")
    proxy.fault = lambda request: None
    store.upload(file, "a")
    assert store.download("a", file.with_name("got")) == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("fault", ["etag", "no etag"])
def test_a_server_whose_tags_are_no_md5(store: S3Store, proxy: Proxy, file: Path, fault: str) -> None:
    """Nothing shows that it arrived: it is read back."""
    proxy.fault = lambda request: fault if request.method == "PUT" else None
    store.write("b", b"small")
    if fault == "etag" or file.stat().st_size < LARGE:  # parts are named by their tags
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(proxy, "fault", lambda r: fault if r.method == "PUT" and r.number is None else None)
            store.upload(file, "a")
    proxy.fault = lambda request: fault if request.method in ("GET", "HEAD") else None
    assert store.read("b") == b"small"


@pytest.mark.parametrize("fault", ["flip", "cut", "short", "empty"])
def test_what_comes_damaged_once(store: S3Store, proxy: Proxy, fault: str, tmp_path: Path) -> None:
    store.write("a", b"some bytes, small enough")
    proxy.fault = fail_first(1, fault, lambda request: request.method == "GET")
    assert store.read("a") == b"some bytes, small enough"
    proxy.fault = fail_first(1, fault, lambda request: request.method == "GET")
    store.download("a", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"some bytes, small enough"


def test_what_always_comes_damaged(store: S3Store, proxy: Proxy) -> None:
    store.write("a", b"some bytes")
    proxy.fault = lambda request: "flip" if request.method == "GET" else None
    with pytest.raises((IntegrityError, StoreUnavailableError)):
        store.read("a")


def test_a_word_is_said_where_nobody_answers(store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WORD_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "_watcher", None)  # which sleeps still, for 20 s
    store.write("a", b"1")
    proxy.stall_seconds = 1.0
    proxy.fault = fail_first(1, "stall", lambda request: request.method == "GET")
    told: list[Event] = []
    hear(told.append)
    try:
        assert store.read("a") == b"1"
    finally:
        hear(json_lines)
    assert any("has not answered for" in event["message"] for event in told), told


def test_a_word_is_said_where_a_request_is_tried_again(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_last_word", -1000.0)
    store.write("a", b"1")
    proxy.fault = fail_first(1, "503", lambda request: request.method == "GET")
    told: list[Event] = []
    hear(told.append)
    try:
        assert store.read("a") == b"1"
    finally:
        hear(json_lines)
    assert "did not answer well; attempt 2 of 2" in told[0]["message"]


def test_encrypted_objects_have_no_md5() -> None:
    """Then the CRC-32 is the server's own, and is believed; beside a wrong MD5 it is not."""
    sums = sums_of([b"123456789"])
    assert sums.crc32 == "y/Q5Jg=="  # the check value of CRC-32/ISO-HDLC, cbf43926
    tag = {"ETag": f'"{"0" * 32}"', "ChecksumCRC32": sums.crc32}
    assert not arrived(tag, sums)
    assert arrived({**tag, "ServerSideEncryption": "aws:kms"}, sums)
    assert not arrived({**tag, "ServerSideEncryption": "aws:kms", "ChecksumCRC32": "AAAAAA=="}, sums)
    assert not arrived({"ETag": '"x-2"'}, sums)
    agreed = Agreed()
    with pytest.raises(DamagedError):
        agreed.check(tag, sums.md5)
    agreed.check(tag, sums.md5)  # twice alike
    with pytest.raises(DamagedError):
        agreed.check(tag, "1" * 32)
