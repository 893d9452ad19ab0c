"""Both stores through one suite. What only one of them can do wrong is in test_folder and test_s3."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.store import FolderStore, open_store
from alma.store.multipart import PART_BYTES
from alma.store.names import TEMPORARY, check_name, is_name
from alma.store.s3 import S3Store

UNICODE = "naïve/日本語 🙂/a b+c&d=e%2F#?'\"*.json"


@pytest.mark.parametrize("data", [b"", b"{}", bytes(range(256)) * 300], ids=["empty", "small", "binary"])
@pytest.mark.parametrize("name", ["manifest.json", "respond/3f2a/parts/00003.parquet", UNICODE])
def test_round_trip(store_uri: str, tmp_path: Path, name: str, data: bytes) -> None:
    store = open_store(store_uri)
    assert not store.exists(name)
    store.write(name, data)
    assert store.exists(name)
    assert store.read(name) == data
    assert store.list("") == {name: len(data)}

    store.download(name, tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == data
    store.upload(tmp_path / "deep" / "copy", "again")
    assert open_store(store.uri).read("again") == data
    assert os.listdir(tmp_path / "deep") == ["copy"]  # noqa: PTH208


def test_overwriting_leaves_the_latest(store_uri: str, tmp_path: Path) -> None:
    store = open_store(store_uri)
    (tmp_path / "short").write_bytes(b"x")
    for _ in range(2):
        store.write("a", b"a longer object")
        store.upload(tmp_path / "short", "a")
    assert store.read("a") == b"x"
    store.download("a", tmp_path / "short")
    store.write("a", b"third")
    store.download("a", tmp_path / "short")
    assert (tmp_path / "short").read_bytes() == b"third"
    assert store.list("") == {"a": 5}


def test_a_file_of_many_parts(store_uri: str, tmp_path: Path) -> None:
    store = open_store(store_uri)
    block = hashlib.shake_256(b"alma").digest(2**20)
    with (tmp_path / "model").open("wb") as file:
        for i in range(20):
            file.write(bytes([i]) + block[1:])
    assert (tmp_path / "model").stat().st_size > PART_BYTES
    store.upload(tmp_path / "model", "model.safetensors")
    assert store.list("") == {"model.safetensors": 20 * 2**20}
    store.download("model.safetensors", tmp_path / "copy")
    with (tmp_path / "model").open("rb") as one, (tmp_path / "copy").open("rb") as other:
        assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()


def test_list_takes_a_prefix_as_a_folder(store_uri: str) -> None:
    store = open_store(store_uri)
    for name in ["a/b/1", "a/b/c/2", "a/bc/3", "a/b.json", "z"]:
        store.write(name, name.encode())
    assert store.list("a/b") == {"a/b/1": 5, "a/b/c/2": 7}
    assert list(store.list("a")) == ["a/b.json", "a/b/1", "a/b/c/2", "a/bc/3"]
    assert list(store.list("")) == ["a/b.json", "a/b/1", "a/b/c/2", "a/bc/3", "z"]
    assert store.list("a/b/1") == store.list("b") == store.list("a/b/none") == {}


def test_stores_one_below_another_do_not_mix(store_uri: str) -> None:
    open_store(store_uri).write("one/x", b"1")
    open_store(f"{store_uri}/one").write("y", b"2")
    open_store(f"{store_uri}/one-more").write("z", b"3")
    assert open_store(f"{store_uri}/one/").list("") == {"x": 1, "y": 1}


def test_a_missing_object(store_uri: str, tmp_path: Path) -> None:
    store = open_store(store_uri)
    store.write("there/object", b"1")
    for name in ["none", "there", "there/none", "there/object/below"]:
        assert not store.exists(name)
        with pytest.raises(FileNotFoundError, match=name):
            store.read(name)
        with pytest.raises(FileNotFoundError, match=name):
            store.download(name, tmp_path / "got" / "it")
    assert not list((tmp_path / "got").glob("*")), "a failed download left something"


def test_removing_takes_the_object_and_nothing_else(store_uri: str, tmp_path: Path) -> None:
    store = open_store(store_uri)
    names = ["a/b/1", "a/b/c/2", "a/bc", "z"]
    for name in names:
        store.write(name, b"1")
    for nothing in ["none", "none/below"]:
        store.remove(nothing)
    assert list(store.list("")) == names
    store.remove("a/b/c/2")
    assert list(store.list("")) == ["a/b/1", "a/bc", "z"]
    assert not store.exists("a/b/c/2")
    store.remove("a/b/c/2")
    store.write("a/b/c/2", b"again")
    assert store.read("a/b/c/2") == b"again"


def test_uploading_a_file_that_is_not_there(store_uri: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-model"):
        open_store(store_uri).upload(tmp_path / "no-model", "model")
    assert open_store(store_uri).list("") == {}


UPLOAD = """
import signal, sys
from pathlib import Path
from alma.store import open_store
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open_store(sys.argv[1]).upload(Path(sys.argv[2]), "model")
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
def test_a_stopped_upload_leaves_nothing_visible(
    store_uri: str, tmp_path: Path, request: pytest.FixtureRequest, stop: signal.Signals
) -> None:
    store = open_store(store_uri)
    store.write("model", b"the former one")
    where = tmp_path / "store"
    if isinstance(store, S3Store):
        where = request.getfixturevalue("s3_server").folder / store.prefix
    with (tmp_path / "large").open("wb") as file:
        file.truncate(8 * 2**30)  # sparse: seconds to copy, nothing to make

    def unfinished() -> list[Path]:
        return [path for path in where.rglob(".*") if path.is_file() and path.stat().st_size]

    process = subprocess.Popen([sys.executable, "-c", UPLOAD, store_uri, str(tmp_path / "large")])
    try:
        deadline = time.monotonic() + 120
        while not unfinished():
            assert process.poll() is None, "the upload ended before it could be stopped"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert store.list("") == {"model": 14}, "an upload shows before it is whole"
    finally:
        process.send_signal(stop)
        code = process.wait(60)
    left = unfinished()
    try:
        assert code == (-signal.SIGKILL if stop is signal.SIGKILL else 75)
        assert store.list("") == {"model": 14}
        assert store.read("model") == b"the former one"
        # Who is killed cannot tidy up; what it leaves is not visible, as asserted above.
        assert bool(left) == (stop is signal.SIGKILL)
        if isinstance(store, S3Store):
            pending = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=store.prefix).get("Uploads", [])
            assert len(pending) == (1 if stop is signal.SIGKILL else 0)
    finally:
        for path in left:
            path.unlink(missing_ok=True)
    (tmp_path / "large").write_bytes(b"whole")
    store.upload(tmp_path / "large", "model")
    assert store.read("model") == b"whole"


# --- names -----------------------------------------------------------------------------------------------------------

BAD_NAMES = [
    "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a\nb", "a\0", "\x7f", "\x85", "\ud800",
    "x" * 256, "é" * 128, "/".join(["x" * 100] * 6), f"a/{TEMPORARY}1",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_what_is_no_name_is_refused_everywhere(store_uri: str, tmp_path: Path, name: str) -> None:
    store = open_store(store_uri)
    (tmp_path / "file").touch()
    calls = [
        lambda: store.exists(name),
        lambda: store.read(name),
        lambda: store.write(name, b""),
        lambda: store.upload(tmp_path / "file", name),
        lambda: store.download(name, tmp_path / "got"),
        lambda: store.local(name),
        lambda: store.remove(name),
    ]
    for call in calls + ([lambda: store.list(name)] if name else []):
        with pytest.raises(ValueError, match="is not an object name"):
            call()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.sampled_from("ab./\\\n é🙂"), max_size=12) | st.text(max_size=20))
def test_a_name_is_refused_or_stays_inside_and_lists_as_itself(tmp_path: Path, name: str) -> None:
    root = tmp_path / hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    store = FolderStore(root)
    if is_name(name):
        store.write(name, b"1")
        assert store.list("") == {name: 1}
        assert store.local(name).resolve().is_relative_to(root.resolve())
    else:
        with pytest.raises(ValueError, match="not an object name"):
            store.write(name, b"1")
        assert not root.exists()


SEGMENTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), min_size=1, max_size=40)


@given(segments=st.lists(SEGMENTS.filter(lambda segment: segment not in (".", "..")), min_size=1, max_size=3))
def test_every_other_name_is_one(segments: list[str]) -> None:
    assert check_name("/".join(segments)) == "/".join(segments)
