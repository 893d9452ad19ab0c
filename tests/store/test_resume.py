"""Killed in the middle of a large file, or disturbed: what had come or gone is not moved again. Counted, not timed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.errors import StoreUnavailableError
from alma.retry import Backoff
from alma.store import open_store, transfer, upload
from alma.store.multipart import PART_BYTES
from alma.store.ranges import RANGE_BYTES, header_of, partial, read_journal, unfinished
from alma.store.s3 import S3Store
from tests.builders.proxy import Fault, Proxy, Request, fail_first

if TYPE_CHECKING:
    pass

NUM = 7  # ranges of the file, and parts: the sizes of both are equal
assert PART_BYTES == RANGE_BYTES
DOWN = "import sys; from pathlib import Path; from alma.store import open_store\n"
DOWN += "print(open_store(sys.argv[1]).download('model', Path(sys.argv[2])))"
UP = "import sys; from pathlib import Path; from alma.store import open_store\n"
UP += "open_store(sys.argv[1]).upload(Path(sys.argv[2]), 'model')"


def write(path: Path, seed: int) -> str:
    """A file of NUM ranges, the last not full; its SHA-256."""
    data = b"".join(hashlib.shake_256(bytes([seed, i])).digest(2**16) * 256 for i in range(NUM))[: -(2**20)]
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def hold_from(method: str, number: int) -> Callable[[Request], Fault]:
    """Lets the ranges or parts below ``number`` pass."""
    return lambda r: "hold" if r.method == method and r.number is not None and r.number >= number else None


def killed_download(store: S3Store, proxy: Proxy, target: Path) -> None:
    """Leaves ranges 0, 1 and 2."""
    proxy.fault = hold_from("GET", 3)
    process = start(DOWN, store.uri, target)
    _, journal = unfinished(target)
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") == 4, process)
    kill(process)
    assert not target.exists()
    proxy.fault = lambda request: None
    proxy.released.set()
    proxy.forget()


# Down


def test_a_killed_download_goes_on(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    sha256 = write(tmp_path / "file", 1)
    store.upload(tmp_path / "file", "model")
    target = tmp_path / "got" / "model"
    killed_download(store, proxy, target)
    process = start(DOWN, store.uri, target)
    assert process.communicate()[0].strip() == sha256
    assert proxy.data("GET") == [3, 4, 5, 6], "what had come was fetched again"
    assert hashlib.sha256(target.read_bytes()).hexdigest() == sha256
    assert list(target.parent.iterdir()) == [target]


def test_a_replaced_object_is_fetched_whole(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    for seed in (1, 2):
        sha256 = write(tmp_path / "file", seed)
        store.upload(tmp_path / "file", "model")
        if seed == 1:
            killed_download(store, proxy, tmp_path / "got")
    proxy.forget()
    assert store.download("model", tmp_path / "got") == sha256
    assert proxy.data("GET") == list(range(NUM))
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == sha256


def test_an_object_replaced_under_way_is_fetched_anew(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    write(tmp_path / "file", 1)
    store.upload(tmp_path / "file", "model")
    sha256 = write(tmp_path / "other", 2)
    direct = open_store(store.uri)
    replaced = []

    def replace(request: Request) -> Fault:
        if request.method == "GET" and request.number == 4 and not replaced:
            replaced.append(request)
            direct.upload(tmp_path / "other", "model")
        return None

    proxy.fault = replace
    assert store.download("model", tmp_path / "got") == sha256
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == sha256


def test_two_downloads_to_one_place_do_not_mix(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    sha256 = write(tmp_path / "file", 1)
    store.upload(tmp_path / "file", "model")
    proxy.fault = hold_from("GET", 3)
    first = start(DOWN, store.uri, tmp_path / "got" / "model")
    wait_for(lambda: len(proxy.data("GET")) == 3, first)
    proxy.fault = lambda request: None
    second = start(DOWN, store.uri, tmp_path / "got" / "model")
    assert second.communicate()[0].strip() == sha256
    proxy.released.set()
    assert first.communicate()[0].strip() == sha256
    assert hashlib.sha256((tmp_path / "got" / "model").read_bytes()).hexdigest() == sha256
    assert os.listdir(tmp_path / "got") == ["model"]  # noqa: PTH208


@pytest.mark.parametrize("fault", ["503", "500", "429", "reset", "cut"])
def test_a_disturbed_download(store: S3Store, proxy: Proxy, tmp_path: Path, fault: Fault) -> None:
    sha256 = write(tmp_path / "file", 1)
    store.upload(tmp_path / "file", "model")
    proxy.fault = fail_first(4, fault, lambda r: r.method == "GET" and r.number in (1, 5))
    proxy.forget()
    assert store.download("model", tmp_path / "got") == sha256
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == sha256
    assert len([r for r in proxy.asked if r.is_data]) == NUM + 4
    if fault == "cut":
        later = [r for r in proxy.asked if r.is_data and r.first is not None and r.first % RANGE_BYTES]
        assert len(later) == 4, "a body that broke off did not go on where it was"


def test_a_server_that_never_answers_whole(
    store: S3Store, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up, and what came before is kept for the next attempt."""
    monkeypatch.setattr(transfer, "BACKOFF", Backoff(0.0, 0.0))
    sha256 = write(tmp_path / "file", 1)
    store.upload(tmp_path / "file", "model")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    hasty = open_store(store.uri)
    proxy.fault = lambda r: "503" if r.number == 5 else None
    with pytest.raises(StoreUnavailableError, match="503"):
        hasty.download("model", tmp_path / "got")
    before = {number for number in proxy.data("GET") if number != 5}
    proxy.fault = lambda request: None
    proxy.forget()
    assert store.download("model", tmp_path / "got") == sha256
    assert before
    assert not before & set(proxy.data("GET"))


# Up


def killed_upload(store: S3Store, proxy: Proxy, file: Path) -> None:
    """Leaves parts 1, 2 and 3."""
    proxy.fault = hold_from("PUT", 4)
    process = start(UP, store.uri, file)
    wait_for(lambda: proxy.data("PUT") == [1, 2, 3], process)
    kill(process)
    proxy.fault = lambda request: None
    proxy.forget()
    assert store.list("") == {}


def test_a_killed_upload_goes_on(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    sha256 = write(tmp_path / "file", 1)
    killed_upload(store, proxy, tmp_path / "file")
    again = start(UP, store.uri, tmp_path / "file")
    again.communicate()
    assert again.returncode == 0
    assert proxy.data("PUT") == [4, 5, 6, 7], "what had gone was sent again"
    assert store.download("model", tmp_path / "got") == sha256


def test_a_changed_file_is_sent_whole(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    write(tmp_path / "file", 1)
    killed_upload(store, proxy, tmp_path / "file")
    sha256 = write(tmp_path / "file", 2)
    store.upload(tmp_path / "file", "model")
    assert proxy.data("PUT") == list(range(1, NUM + 1))
    assert store.download("model", tmp_path / "got") == sha256


@pytest.mark.parametrize("fault", ["503", "500", "429", "reset"])
def test_a_disturbed_upload(store: S3Store, proxy: Proxy, tmp_path: Path, fault: Fault) -> None:
    sha256 = write(tmp_path / "file", 1)
    proxy.fault = fail_first(4, fault, lambda r: r.method == "PUT" and r.number in (1, 5))
    store.upload(tmp_path / "file", "model")
    assert proxy.data("PUT") == list(range(1, NUM + 1))
    assert store.download("model", tmp_path / "got") == sha256


def test_an_upload_that_somebody_else_ended_begins_anew(
    store: S3Store, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "STREAMS", 1)  # no other part is under way when it ends
    sha256 = write(tmp_path / "file", 1)
    ended = []

    def end(request: Request) -> Fault:
        if request.number == 3 and not ended:
            ended.append(request)
            (pending,) = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=store.prefix)["Uploads"]
            store.client.abort_multipart_upload(Bucket=store.bucket, Key=pending["Key"], UploadId=pending["UploadId"])
            return "404"  # what rclone answers too, but it closes the connection before a part has come
        return None

    proxy.fault = end
    open_store(store.uri).upload(tmp_path / "file", "model")
    assert ended
    assert proxy.data("PUT").count(1) == 2, "it was not begun anew"
    assert store.download("model", tmp_path / "got") == sha256


# The journal


@given(finished=st.lists(st.integers(0, 5000), unique=True), cut=st.integers(0, 10**6), etag=st.text(min_size=1))
def test_a_journal_that_breaks_off_never_says_too_much(finished: list[int], cut: int, etag: str) -> None:
    header = header_of(10**11, etag)
    whole = header + b"".join(b"%d\n" % index for index in finished)
    assert read_journal(whole, header) == set(finished)
    assert read_journal(whole[:cut], header) <= set(finished)
    assert read_journal(whole, header_of(10**11, etag + "x")) == set()
    assert read_journal(whole, header_of(10**11 + 1, etag)) == set()


@given(st.binary())
def test_what_is_no_journal_says_nothing(content: bytes) -> None:
    assert read_journal(content, header_of(5, "e")) == set()


def test_lost_bytes_are_not_believed_to_be_there(tmp_path: Path) -> None:
    """Somebody cleaned up, and left the journal."""
    path = tmp_path / "file"

    def broken() -> None:
        with partial(path, 3 * RANGE_BYTES, "etag") as file:
            file.done(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    unfinished(path)[0].unlink()
    with partial(path, 3 * RANGE_BYTES, "etag") as file:
        assert file.missing == [0, 1, 2]
