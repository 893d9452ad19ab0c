"""How a store is addressed, and what only a folder can do wrong."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from alma.errors import ConfigError, NoSpaceError
from alma.store import FolderStore, open_store
from alma.store.files import file_errors, publish
from alma.store.locks import lock
from alma.store.names import TEMPORARY
from tests.builders.small_disk import small_disk


def test_a_folder_by_path_and_by_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "a b#1" / "data:v1"
    for uri in [str(folder), "a b#1/data:v1", "~/a b#1/data:v1", f"file://{quote(str(folder))}"]:
        store = open_store(uri)
        assert (store.uri, store.local("x/y")) == (str(folder), folder / "x" / "y")
        assert open_store(store.uri).uri == store.uri
    assert not folder.exists(), "to open is not to make"


def test_an_s3_store_is_nowhere_local(s3_store_uri: str) -> None:
    assert open_store(s3_store_uri).local("a") is None
    assert open_store(s3_store_uri + "/").uri == s3_store_uri


@pytest.mark.parametrize(
    "uri", ["gs://bucket/a", "hf://datasets/a", "http://x/y", "s3:/bucket/a", "file:/x", "S4://bucket", "az:///x"]
)
def test_another_scheme_names_the_accepted_ones(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"file:///folder and s3://bucket/prefix") as caught:
        open_store(uri)
    assert uri in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["", "a\0b", "s3://", "s3:///a", "s3://b_/../c", "s3://b/a//c", "s3://b*/c", "file://host/a"]
)
def test_an_address_that_cannot_be(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"s3://bucket|file:///folder"):
        open_store(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:hush/hush@bucket/a",
        "s3://AKIA:hush@bucket/a",
        "gs://me:hush@bucket",
        "s3:/me:hush@b",
        "file://me:hush@h/a",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(uri)
    assert "hush" not in str(caught.value)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        open_store(str(tmp_path / "file"))


def test_a_folder_store_imports_no_boto(tmp_path: Path) -> None:
    script = "import sys; from alma.store import open_store; open_store(sys.argv[1]).write('a', b'')\n"
    script += "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True)
    assert "'alma'" in done.stdout
    assert not [name for name in ("boto3", "botocore", "s3transfer", "urllib3") if f"'{name}'" in done.stdout]


# --- a folder --------------------------------------------------------------------------------------------------------


def test_what_is_removed_while_a_folder_is_listed_does_not_list(tmp_path: Path) -> None:
    store, over = FolderStore(tmp_path / "store"), threading.Event()
    store.write("stays", b"1")

    def come_and_go() -> None:
        while not over.is_set():
            for i in range(20):
                store.write(f"a/b/{i}", b"1")
            for i in range(20):
                store.remove(f"a/b/{i}")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        found = [store.list("") for _ in range(300)]
        deadline = time.monotonic() + 60
        while len({len(names) for names in found}) == 1 and time.monotonic() < deadline:
            found.append(store.list(""))  # on a busy machine the other thread may not have had its turn
    finally:
        over.set()
        thread.join()
    assert all("stays" in names for names in found)
    assert len({len(names) for names in found}) > 1, "nothing came or went: no test"


def test_removing_leaves_no_empty_folder_and_no_neighbour_without_one(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for name in ("a/b/c/1", "a/b/2"):
        store.write(name, b"1")
    for nothing in ("a/b", "a/b/2/below"):
        store.remove(nothing)
    assert list(store.list("")) == ["a/b/2", "a/b/c/1"]
    store.remove("a/b/c/1")
    assert [path.name for path in (tmp_path / "store" / "a" / "b").iterdir()] == ["2"]
    store.remove("a/b/2")
    assert list((tmp_path / "store").iterdir()) == []


def test_unfinished_files_do_not_list_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.write("a/b", b"1")
    (tmp_path / "store" / "a" / f"{TEMPORARY}0123").write_bytes(b"half")
    (tmp_path / "store" / "a" / "loop").symlink_to(tmp_path / "store")
    assert store.list("") == {"a/b": 1}


def test_what_fails_while_publishing_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")

    def fail() -> None:
        with publish(tmp_path / "file") as file:
            file.write(b"half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"before")]


def test_a_published_file_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        FolderStore(tmp_path).write("a", b"1")
    finally:
        os.umask(former)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="alma-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def said(code: str, *arguments: object, before: list[str] | None = None) -> str:
    """What a process of its own says of the error that ``code`` raises on ``store``."""
    script = f"""
import os, sys
from pathlib import Path
from alma.store import open_store
try:
    store = open_store(sys.argv[1])
    {code}
except Exception as error:
    print(type(error).__name__, error, sep=": ")
"""
    command = [*(before or []), sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "store.write('closed/b', b'2')",
        "store.read('closed/a')",
        "store.exists('closed/a')",
        "store.list('')",
        "store.remove('closed/a')",
        "store.upload(Path(sys.argv[1], 'open'), 'closed/b')",
        "store.upload(Path(sys.argv[1], 'closed', 'a'), 'b')",
        "store.download('open', Path(sys.argv[1]) / 'closed' / 'got')",
        "open_store(sys.argv[1] + '/closed/below')",
    ],
)
def test_a_folder_that_refuses_us(public_folder: Path, code: str) -> None:
    store = FolderStore(public_folder)
    store.write("closed/a", b"1")
    store.write("open", b"1")
    (public_folder / "closed").chmod(0)
    try:
        # Root may enter all the same, so the process becomes another user once Python has started.
        answer = said(("os.setuid(65534); " if os.geteuid() == 0 else "") + code, public_folder)
    finally:
        (public_folder / "closed").chmod(0o700)
    assert answer.startswith(f"AccessError: {public_folder / 'closed'}")
    assert "Permission denied; give uid" in answer


@pytest.mark.parametrize(
    "code",
    [
        "store.write('a', bytes(10**6))",
        "store.upload(Path(sys.argv[4]), 'a')",
        "open_store(sys.argv[2]).download('large', Path(sys.argv[3]) / 'got')",
    ],
    ids=["write", "upload", "download"],
)
def test_a_full_disk(store_uri: str, tmp_path: Path, code: str) -> None:
    small = tmp_path / "small"
    on_small_disk = small_disk(small, "64k")
    open_store(store_uri).write("large", bytes(10**6))
    (tmp_path / "large").write_bytes(bytes(10**6))
    answer = said(code, small, store_uri, small, tmp_path / "large", before=on_small_disk)
    assert answer.startswith(f"NoSpaceError: {small}")
    assert "No space left on device; free some space" in answer


def test_paths_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    for path, says in [
        ("file", "is a file"),
        ("file/below/it", "lies below .*file', which is a file"),
        ("dangling", "the link .* leads nowhere"),
        ("dangling/below", "the link .* leads nowhere"),
        ("one", "Too many levels of symbolic links"),
        ("one/below", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
    ]:
        with pytest.raises(ConfigError, match=says):
            open_store(str(tmp_path / path))
    (tmp_path / "there").mkdir()
    (tmp_path / "good").symlink_to(tmp_path / "there")
    open_store(str(tmp_path / "good" / "new")).write("a", b"1")
    assert (tmp_path / "there" / "new" / "a").read_bytes() == b"1"


def test_a_path_that_becomes_a_file_later(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    (tmp_path / "store").touch()
    with pytest.raises(ConfigError, match="give a folder"):
        store.write("a/b", b"1")
    assert store.list("") == {}


@pytest.mark.parametrize("refused", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV])
def test_a_file_system_that_cannot_rename_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """A bucket that is mounted as a folder."""
    store = open_store(str(tmp_path / "store"))

    def replace(source: Path, target: Path) -> None:
        raise OSError(refused, os.strerror(refused), str(source), None, str(target))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/store/a: {os.strerror(refused)}; .* cannot rename .*s3://"):
        store.write("a", b"1")


def test_a_disk_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an open file the system says no name."""

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = open_store(str(tmp_path / "store"))
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match=rf"Input/output error: '{tmp_path}/store/a'"):
        store.write("a", b"1")
    monkeypatch.setattr(fcntl, "flock", fails)
    with (tmp_path / "locked").open("w") as file, pytest.raises(OSError, match=f"error: '{tmp_path}/locked'"):
        lock(file)


def test_of_a_copy_the_file_is_named_that_could_not_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(NoSpaceError, match=r"^there/b: No space left on device; free some space there"),
        file_errors(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here/a", None, "there/b")
