"""Both stores through one suite, then what only one of them can do wrong."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.errors import AccessError, AlmaError, ConfigError, NoSpaceError, StoreUnavailableError
from alma.s3 import PART_BYTES, S3Store
from alma.store import TEMPORARY, FolderStore, check_name, is_name, open_store, publish

if TYPE_CHECKING:
    from tests.conftest import S3Server

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
    ]
    for call in calls + ([lambda: store.list(name)] if name else []):
        with pytest.raises(ValueError, match="is no object name"):
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
        with pytest.raises(ValueError, match="no object name"):
            store.write(name, b"1")
        assert not root.exists()


SEGMENTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\"), min_size=1, max_size=40)


@given(segments=st.lists(SEGMENTS.filter(lambda segment: segment not in (".", "..")), min_size=1, max_size=3))
def test_every_other_name_is_one(segments: list[str]) -> None:
    assert check_name("/".join(segments)) == "/".join(segments)


# --- addresses -------------------------------------------------------------------------------------------------------


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


MOUNT = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"']


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
    small.mkdir()
    if subprocess.run([*MOUNT, small, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk in a namespace (unshare --map-root-user --mount)")
    open_store(store_uri).write("large", bytes(10**6))
    (tmp_path / "large").write_bytes(bytes(10**6))
    answer = said(code, small, store_uri, small, tmp_path / "large", before=[*MOUNT, str(small)])
    assert answer.startswith(f"NoSpaceError: {small}")
    assert "No space left on device; free some space" in answer


# --- S3 --------------------------------------------------------------------------------------------------------------


def test_listing_goes_past_the_first_page(s3_store_uri: str) -> None:
    store = s3_store("s3://crowded")
    first = store.client.list_objects_v2(Bucket="crowded")
    assert (first["IsTruncated"], len(first["Contents"])) == (True, 1000), "the server gives all at once: no test"
    assert store.list("") == store.list("parts") == {f"parts/{i:05}": 1 for i in range(1203)}
    assert s3_store("s3://crowded/parts").list("") == {f"{i:05}": 1 for i in range(1203)}


def test_settings_come_from_the_shared_config(
    s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of = {
        name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    for name in settings_of:
        monkeypatch.delenv(name)
    lines = [f"{name.lower()} = {value}" for name, value in settings_of.items() if name != "AWS_ENDPOINT_URL"]
    lines += [f"endpoint_url = {settings_of['AWS_ENDPOINT_URL']}", "max_attempts = 3"]
    (tmp_path / "config").write_text("[profile ours]\n" + "\n".join(lines))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "ours")
    store = s3_store(s3_store_uri)
    store.write("a", b"1")
    assert store.read("a") == b"1"
    assert store.client.meta.config.retries == {"total_max_attempts": 3, "mode": "standard"}

    monkeypatch.setenv("AWS_PROFILE", "theirs")
    with pytest.raises(ConfigError, match="theirs"):
        open_store(s3_store_uri)


def test_retries_and_addresses_without_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(store: S3Store) -> str:
        return str(store.client.generate_presigned_url("get_object", {"Bucket": store.bucket, "Key": "k"})).split("?")[
            0
        ]

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    store = S3Store("bucket")
    assert store.client.meta.config.retries == {"total_max_attempts": 8, "mode": "standard"}
    assert address(store) == "https://bucket.s3.amazonaws.com/k"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://minio.example:9000")
    assert address(S3Store("bucket")) == "http://minio.example:9000/bucket/k"


def s3_store(uri: str) -> S3Store:
    store = open_store(uri)
    assert isinstance(store, S3Store)
    return store


def calls(store: S3Store, tmp_path: Path) -> dict[str, Callable[[], object]]:
    (tmp_path / "small").write_bytes(b"1")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(PART_BYTES + 1)
    return {
        "exists": lambda: store.exists("a"),
        "read": lambda: store.read("a"),
        "write": lambda: store.write("a", b"1"),
        "upload": lambda: store.upload(tmp_path / "small", "a"),
        "upload of parts": lambda: store.upload(tmp_path / "large", "a"),
        "download": lambda: store.download("a", tmp_path / "got"),
        "list": lambda: store.list("a"),
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("AWS_SECRET_ACCESS_KEY", "wrong-but-secret", id="wrong secret"),
        pytest.param("AWS_ACCESS_KEY_ID", "wrong-but-secret", id="unknown key"),
        pytest.param("AWS_ACCESS_KEY_ID", None, id="half of the credentials"),
    ],
)
def test_wrong_credentials(
    s3_store_uri: str,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str | None,
) -> None:
    monkeypatch.delenv(setting) if value is None else monkeypatch.setenv(setting, value)
    for call in calls(s3_store(s3_store_uri), tmp_path).values():
        with pytest.raises(AccessError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
            call()
        assert s3_store_uri in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        assert s3_server.secret not in shown
        assert "wrong-but-secret" not in shown
    assert not (tmp_path / "got").exists()


def test_a_key_without_its_secret_is_noticed_at_once(s3_store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessError, match="PartialCredentialsError.*AWS_SECRET_ACCESS_KEY"):
        open_store(s3_store_uri)


def test_no_credentials(s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for call in calls(s3_store(s3_store_uri), tmp_path).values():
        with pytest.raises(AccessError, match=r"no usable credentials .* AWS_PROFILE"):
            call()


def test_a_missing_bucket(s3_store_uri: str, s3_server: S3Server, tmp_path: Path) -> None:
    for call in calls(S3Store("nobodys", "below"), tmp_path).values():
        with pytest.raises(ConfigError, match=f"'nobodys' at {s3_server.endpoint}; .* s3 mb s3://nobodys"):
            call()


def test_nobody_answers(s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.socket() as taken:  # bound and not listening: refused at once, and nobody else can take it
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        started = time.monotonic()
        for call in calls(s3_store(s3_store_uri), tmp_path).values():
            with pytest.raises(StoreUnavailableError, match=endpoint):
                call()
        assert time.monotonic() - started < 20  # on a busy machine; the default would be minutes


Answers = list[tuple[int, bytes, int]]  # status, body, bytes that are promised but never come


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """What a server at AWS_ENDPOINT_URL answers, in turn and the last one for ever: for what rclone never says."""
    given: Answers = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # else a PUT waits a second for "100 Continue"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body, missing = given.pop(0) if len(given) > 1 else given[0]
            self.send_response(status)
            self.send_header("x-amz-bucket-region", "eu-west-1")  # botocore goes there after a 301
            self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield given
        server.shutdown()
        thread.join()


ANSWERS = [
    (503, "SlowDown", StoreUnavailableError, "503"),
    (500, "InternalError", StoreUnavailableError, "500"),
    (507, "XMinioStorageFull", NoSpaceError, "quota"),
    (403, "AccessDenied", AccessError, "s3:ListBucket"),
    (400, "ExpiredToken", AccessError, "AWS_SESSION_TOKEN"),
    (301, "PermanentRedirect", ConfigError, "AWS_REGION"),
]


@pytest.mark.parametrize(("status", "code", "kind", "says"), ANSWERS, ids=[code for _, code, _, _ in ANSWERS])
def test_an_answer_means(
    answers: Answers, tmp_path: Path, status: int, code: str, kind: type[AlmaError], says: str
) -> None:
    answers.append((status, f"<Error><Code>{code}</Code><Message>you sent hush</Message></Error>".encode(), 0))
    for call in calls(S3Store("bucket"), tmp_path).values():
        with pytest.raises(kind, match=says) as caught:
            call()
        assert os.environ["AWS_ENDPOINT_URL"] in str(caught.value)
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_an_answer_that_nobody_expects_is_raised_as_it_is(answers: Answers, status: int, code: str) -> None:
    answers.append((status, f"<Error><Code>{code}</Code></Error>".encode(), 0))
    with pytest.raises(ClientError, match=code) as caught:
        S3Store("bucket").write("a", b"1")
    assert caught.value.__notes__ == [f"from s3://bucket/a at {os.environ['AWS_ENDPOINT_URL']}"]


def test_an_answer_that_breaks_off_is_asked_for_again(answers: Answers, tmp_path: Path) -> None:
    store = S3Store("bucket")
    answers += [(200, b"hal", 2), (200, b"h", 4), (200, b"whole", 0)]
    assert store.read("a") == b"whole"
    answers[:] = [(200, b"whole", 0), (200, b"hal", 2), (200, b"whole", 0)]  # the first is to the HEAD
    store.download("a", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"whole"


@pytest.mark.parametrize("call", ["read", "download"])
def test_answers_that_always_break_off(answers: Answers, tmp_path: Path, call: str) -> None:
    answers.append((200, b"hal", 2))
    with pytest.raises(StoreUnavailableError, match=os.environ["AWS_ENDPOINT_URL"]):
        calls(S3Store("bucket"), tmp_path)[call]()
    assert not (tmp_path / "got").exists()
