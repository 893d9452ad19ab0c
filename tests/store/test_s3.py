"""What only S3 can do wrong: settings, credentials, buckets, networks."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alma.errors import AccessError, AlmaError, ConfigError, NoSpaceError, StoreUnavailableError
from alma.store import mending, open_store
from alma.store.multipart import PART_BYTES
from alma.store.s3 import S3Store

if TYPE_CHECKING:
    from tests.conftest import S3Server


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
        "remove": lambda: store.remove("a"),
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
    with pytest.raises(AccessError, match=r"PartialCredentialsError.*AWS_SECRET_ACCESS_KEY"):
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


HEADERS: dict[str, str | None] = {
    "x-amz-bucket-region": "eu-west-1",  # botocore goes there after a 301
    "ETag": '"of no MD5"',
}
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
            for name, value in HEADERS.items():
                if value is not None:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

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


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument"), (405, "")])
def test_an_answer_of_a_server_that_does_not_speak_s3(answers: Answers, status: int, code: str) -> None:
    answers.append((status, f"<Error><Code>{code}</Code></Error>".encode(), 0))
    with pytest.raises(ConfigError, match=f"answered {status} {code}.*AWS_ENDPOINT_URL"):
        S3Store("bucket").write("a", b"1")


@pytest.mark.parametrize(
    ("status", "body"),
    [(999, b""), (300, b"{}"), (601, b"<html>"), (200, b"<html>no"), (200, b"\0\xff<"), (204, b"")],
    ids=["unknown", "no error", "unknown page", "page", "noise", "nothing"],
)
def test_an_answer_of_no_server(answers: Answers, tmp_path: Path, status: int, body: bytes) -> None:
    """Whatever it is, it ends in an error of ours or in a result."""
    answers.append((status, body, 0))
    for name, call in calls(S3Store("bucket"), tmp_path).items():
        if status == 200 and name in ("exists", "read", "download", "remove"):
            continue  # it may be the object
        try:
            call()
        except (AlmaError, FileNotFoundError):
            continue
        assert (status, name) in ((204, "remove"), (204, "exists"), (204, "read"), (204, "download"), (204, "list"))


def test_a_page_of_the_network_is_no_object_and_no_listing(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HEADERS, "ETag", None)
    answers.append((200, b"<html><body>Please log in to this network</body></html>", 0))
    asked = calls(S3Store("bucket"), tmp_path)
    for name in ("exists", "read", "download", "list"):
        with pytest.raises(StoreUnavailableError, match="no S3 server does"):
            asked[name]()


@pytest.mark.parametrize(("status", "code"), [(409, "OperationAborted"), (409, ""), (408, "RequestTimeout")])
def test_a_conflict_is_tried_again(answers: Answers, monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    monkeypatch.setattr(mending, "LONGEST_PAUSE_SECONDS", 0.01)
    refused = (status, f"<Error><Code>{code}</Code></Error>".encode(), 0)
    answers += [refused, refused, (200, b"whole", 0)]
    assert S3Store("bucket").read("a") == b"whole"
    answers[:] = [refused, refused, refused, (200, b"whole", 0)]
    with pytest.raises(StoreUnavailableError, match=f"answered {status}"):
        S3Store("bucket").read("a")


def test_a_listing_without_end_is_none(answers: Answers) -> None:
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    answers.append((200, page + b"</ListBucketResult>", 0))
    with pytest.raises(StoreUnavailableError, match="a listing without end"):
        S3Store("bucket").list("")


def test_an_answer_that_does_not_say_what_it_has_to(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.append((200, b"", 0))
    monkeypatch.setitem(HEADERS, "ETag", None)
    with pytest.raises(StoreUnavailableError, match=r"no S3 server does \(without ETag.*\); check AWS_ENDPOINT_URL"):
        S3Store("bucket").version("a")
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>"
    answers[:] = [(200, listing, 0)]
    with pytest.raises(StoreUnavailableError, match=r"no S3 server does \(without Size\)"):
        S3Store("bucket").list("")
    answers[:] = [(200, listing.replace(b"</Key>", b"</Key><Size>1 kB</Size>"), 0)]
    with pytest.raises(StoreUnavailableError, match=r"no S3 server does \(ValueError\)"):
        S3Store("bucket").list("")


@pytest.mark.parametrize("fault", [KeyError("ours"), ValueError("ours"), IndexError("ours")])
def test_no_server_is_blamed_for_a_mistake_of_ours(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def mistaken(*_: object, **__: object) -> None:
        raise fault

    answers.append((200, b"1", 0))
    store = S3Store("bucket")
    monkeypatch.setattr(store._uploads, "put", mistaken)
    monkeypatch.setattr(store._uploads, "upload", mistaken)
    monkeypatch.setattr(store._downloads, "download", mistaken)
    monkeypatch.setattr("alma.store.arrival.Agreed.check", mistaken)
    asked = calls(store, tmp_path)
    for name in ("read", "write", "upload", "download"):
        with pytest.raises(type(fault), match="ours"):
            asked[name]()


def test_an_answer_without_end_is_not_held_in_memory(
    answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma.store.bounded.ANSWER_BYTES", 100)
    monkeypatch.setattr("alma.store.bounded.OBJECT_BYTES", 150)
    for status, names in ((200, ("read", "list")), (503, ("read", "write", "list"))):
        answers[:] = [(status, b"x" * 200, 0)]
        for name in names:
            with pytest.raises(StoreUnavailableError, match=r"TooLongError.*AWS_ENDPOINT_URL"):
                calls(S3Store("bucket"), tmp_path)[name]()


def test_a_redirection_to_nowhere(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region, botocore asks for the bucket's, and is redirected again."""
    answers.append((301, b"", 0))
    monkeypatch.setitem(HEADERS, "x-amz-bucket-region", None)
    for call in calls(S3Store("bucket"), tmp_path).values():
        with pytest.raises(ConfigError, match="AWS_REGION"):
            call()


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
