"""The Hub, by a server on this machine that speaks as much of its protocol as ``snapshot_download`` needs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants, get_session, hf_hub_download

from alma.errors import AccessError, AlmaError, ConfigError, DataError, StoreUnavailableError
from alma.sections import IngestModel, IngestRows
from alma.sources import hub, session

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROW = b'{"prompt": "p", "response": "r"}\n'
REPOSITORIES = {
    "datasets/o/split": {
        "README.md": b"#",
        "data/train-00000-of-00002.parquet": b"0",
        "data/train-00001-of-00002.parquet": b"1",
        "data/test-00000-of-00001.parquet": b"2",
        "data/pretrain.parquet": b"3",
        "seeds [v1].jsonl": ROW,
    },
    "datasets/o/sets": {"main/train.jsonl": ROW, "socratic/train.jsonl": ROW},
    "o/model": {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "model.safetensors": b"0",
        "pytorch_model.bin": b"pickle",
        "consolidated.safetensors": b"0",
        "onnx/model.safetensors": b"0",
        "small/config.json": b"{}",
        "small/model.safetensors": b"0",
    },
    "o/tiny": {"config.json": b"{}", "model.safetensors": b"0", "chat_template.jinja": b"x"},
    "datasets/o/lines": {"train.jsonl": ROW, "train\nalma: all is well.jsonl": ROW},
    "datasets/o/short": {"train.jsonl": ROW},
    "datasets/o/long": {"train.jsonl": ROW},
    "o/broken": {"config.json": b"{}", "model.safetensors": b"0"},
    "o/pickle": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
}

PACKED = gzip.compress(b" " * 2**24)
"""What is 16 KB on its way."""

STRANGERS = {"o/page": b"<html>", "o/object": b'{"a": 1}', "o/deep": b"[" * 100_000, "o/endless": b" " * 2**20}


def blob_id(data: bytes) -> str:
    """As git names what the file holds."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class FakeHub(BaseHTTPRequestHandler):
    """Answers for ``REPOSITORIES`` at ``COMMIT``; ``o/gated``, ``o/private`` and ``o/down`` refuse as the Hub does."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        from urllib.parse import unquote, urlsplit

        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/"):
            place, _, commit = path.removeprefix("/api/").removeprefix("models/").partition("/tree/")
            self._tree(place, commit)
        else:
            place, _, rest = path.removeprefix("/").partition("/resolve/")
            if place == "o/broken" and self.command == "GET":
                self._answer(500, b" " * 2**20)
                return
            data = REPOSITORIES[place][rest.partition("/")[2]]
            if place == "datasets/o/short" and self.command == "HEAD":
                data += b"what never comes"
            self._answer(200, data, {"ETag": "x" * 3000} if place == "datasets/o/long" else None)

    def _tree(self, place: str, commit: str) -> None:
        if place == "o/packed":
            self._answer(200, PACKED, {"Content-Type": "application/json", "Content-Encoding": "gzip"})
            return
        if place == "o/later":
            self._answer(429, b"{}", {"Retry-After": "9" * 11, "RateLimit": '"api";r=0;t=99999999999'})
            return
        if place in STRANGERS:
            self._answer(200, STRANGERS[place], {"Content-Type": "application/json"})
            return
        kind = {"o/gated": (403, "GatedRepo"), "o/private": (401, "RepoNotFound"), "o/down": (500, "")}
        if place in kind:
            status, code = kind[place]
            self._answer(status, b"{}", {"X-Error-Code": code})
        elif commit != COMMIT:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            files = [
                {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
                for name, data in REPOSITORIES[place].items()
            ]
            self._answer(200, json.dumps(files).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        common = {
            "Content-Length": str(len(data)),
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{blob_id(data)}"',
        }
        for name, value in {**common, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library read its environment when it was imported, so its constants are what can be set."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        endpoint = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its five retries
        yield
        running.shutdown()


def rows(source: str, revision: str = COMMIT, split: str = "train") -> IngestRows:
    return IngestRows(source=source, kind="pairs", revision=revision, split=split)


def model(source: str) -> IngestModel:
    return IngestModel(source=source, revision=COMMIT)


def test_the_files_of_a_split_in_order() -> None:
    found = hub.fetch_rows(rows("hf://o/split"))
    assert [(path.name, path.read_bytes()) for path in found] == [
        ("train-00000-of-00002.parquet", b"0"),
        ("train-00001-of-00002.parquet", b"1"),
    ]
    (test,) = hub.fetch_rows(rows("hf://o/split", split="test"))
    assert test.read_bytes() == b"2"


def test_what_a_stranger_once_answered_for_the_hub_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.json").write_text('{"harnesses": ["sign in"]}')
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "kept.json"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    [path] = hub.fetch_rows(rows("hf://o/split/seeds [v1].jsonl"))
    assert path.read_bytes() == ROW


def test_one_file() -> None:
    (path,) = hub.fetch_rows(rows("hf://o/split/seeds [v1].jsonl"))
    assert path.read_bytes() == ROW


def test_of_a_model_only_what_belongs() -> None:
    folder = hub.fetch_model(model("hf://o/model"))
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    small = hub.fetch_model(model("hf://o/model/small"))
    assert {path.name for path in small.iterdir()} == {"config.json", "model.safetensors"}


def test_what_is_in_the_cache_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hub.fetch_rows(rows("hf://o/sets/main/train.jsonl"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch_rows(rows("hf://o/sets/main/train.jsonl")) == before
    with pytest.raises(DataError, match=f"HF_HUB_OFFLINE is set.*hf download o/model .*{COMMIT}"):
        hub.fetch_model(model("hf://o/model"))


@pytest.mark.parametrize(
    ("cfg", "error", "parts"),
    [
        pytest.param(
            rows("hf://o/split", split="validation"), DataError, ["'validation'", "data/pretrain"], id="split"
        ),
        pytest.param(rows("hf://o/split/seed.jsonl"), DataError, ["Did you mean seeds [v1].jsonl?"], id="file"),
        pytest.param(rows("hf://o/sets"), ConfigError, ["main/train.jsonl, socratic/train.jsonl"], id="several sets"),
        pytest.param(rows("hf://o/split", revision="f" * 40), DataError, ["no commit " + "f" * 40], id="commit"),
        pytest.param(model("hf://o/pickle"), DataError, ["pickle (pytorch_model.bin)"], id="pickle"),
        pytest.param(model("hf://o/model/tiny"), DataError, ["no config.json"], id="subfolder"),
        pytest.param(model("hf://o/gated"), AccessError, ["terms", "HF_TOKEN"], id="gated"),
        pytest.param(model("hf://o/private"), AccessError, ["private", "HF_TOKEN"], id="private"),
        pytest.param(model("hf://o/down"), StoreUnavailableError, ["does not answer", "500"], id="down"),
    ],
)
def test_tells_what_is_wrong(cfg: IngestRows | IngestModel, error: type[AlmaError], parts: list[str]) -> None:
    with pytest.raises(error) as caught:
        hub.fetch_model(cfg) if isinstance(cfg, IngestModel) else hub.fetch_rows(cfg)
    assert [part for part in [cfg.source, *parts] if part not in str(caught.value)] == [], str(caught.value)


def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache as other programs leave it: without the list of the commit's files."""
    monkeypatch.setattr("huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE", {})
    for each in (tmp_path / "cache").glob("*/trees"):
        shutil.rmtree(each)
    return next((tmp_path / "cache").glob("*/snapshots")) / COMMIT


def away(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub is asked nothing, or does not answer."""
    if how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


AWAY = {
    "offline": (DataError, "no list of the files of that commit.*HF_HUB_OFFLINE is set.*hf download o/"),
    "down": (StoreUnavailableError, "http://127.0.0.1:9/"),
}


@pytest.mark.parametrize("how", AWAY)
def test_a_part_of_a_split_is_not_taken_for_all_of_it(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf_hub_download("o/split", "data/train-00000-of-00002.parquet", repo_type="dataset", revision=COMMIT)
    forget(tmp_path, monkeypatch)
    away(how, monkeypatch)
    kind, said = AWAY[how]
    with pytest.raises(kind, match=said):
        hub.fetch_rows(rows("hf://o/split"))


def test_a_part_of_a_split_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hf_hub_download("o/split", "data/train-00000-of-00002.parquet", repo_type="dataset", revision=COMMIT)
    forget(tmp_path, monkeypatch)
    assert [path.read_bytes() for path in hub.fetch_rows(rows("hf://o/split"))] == [b"0", b"1"]


@pytest.mark.parametrize("how", AWAY)
def test_a_model_without_its_template_is_not_taken_for_one_that_has_none(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "model.safetensors"):
        hf_hub_download("o/tiny", name, revision=COMMIT)
    forget(tmp_path, monkeypatch)
    away(how, monkeypatch)
    kind, said = AWAY[how]
    with pytest.raises(kind, match=said):
        hub.fetch_model(model("hf://o/tiny"))


@pytest.mark.parametrize("how", AWAY)
def test_one_file_that_is_what_its_blob_is_called_needs_no_list(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf_hub_download("o/sets", "main/train.jsonl", repo_type="dataset", revision=COMMIT)
    snapshot = forget(tmp_path, monkeypatch)
    away(how, monkeypatch)
    [path] = hub.fetch_rows(rows("hf://o/sets/main/train.jsonl"))
    assert path.read_bytes() == ROW
    path.resolve().write_bytes(ROW[:-1])
    with pytest.raises(AWAY[how][0], match=AWAY[how][1]):
        hub.fetch_rows(rows("hf://o/sets/main/train.jsonl"))
    assert path == snapshot / "main" / "train.jsonl"


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("how", ["cut off", "a pipe", "a folder"])
def test_what_is_no_whole_file_is_refused(how: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = [
        (lambda: hub.fetch_rows(rows("hf://o/split"))[1], "data/train-00001-of-00002.parquet"),
        (lambda: hub.fetch_rows(rows("hf://o/sets/main/train.jsonl"))[0], "main/train.jsonl"),
        (lambda: hub.fetch_model(model("hf://o/tiny")) / "chat_template.jinja", "chat_template.jinja"),
    ]
    blobs = [each().resolve() for each, _ in fetch]
    for blob in blobs:
        blob.unlink()
        {"cut off": blob.touch, "a pipe": lambda at=blob: os.mkfifo(at), "a folder": blob.mkdir}[how]()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    for (each, name), blob in zip(fetch, blobs, strict=True):
        found = "that of the cache has 0" if how == "cut off" else "there is none, or a pipe or a folder"
        with pytest.raises(
            DataError, match=rf"{name} has \d+ bytes in that commit, and {found} .*hf download o/"
        ) as told:
            each()
        assert f"remove {blob}," in str(told.value)


def test_a_name_of_two_lines_is_not_taken() -> None:
    assert len(hub.fetch_rows(rows("hf://o/lines/train.jsonl"))) == 1
    with pytest.raises(
        DataError, match=r"'train\\nalma: all is well.jsonl' has a line break in its name; name another"
    ):
        hub.fetch_rows(rows("hf://o/lines"))
    with pytest.raises(DataError, match=r"There is: train\.jsonl, train\\nalma: all is well\.jsonl\.$"):
        hub.fetch_rows(rows("hf://o/lines", split="nothing"))


def test_what_lies_beside_is_no_part_of_a_split_and_refused_of_a_model() -> None:
    before = hub.fetch_rows(rows("hf://o/split"))
    (before[0].parent / "train-00002-of-00002.parquet").write_bytes(b"2")
    assert hub.fetch_rows(rows("hf://o/split")) == before
    folder = hub.fetch_model(model("hf://o/model"))
    (folder / "README.md").write_text("is not asked for")
    hub.fetch_model(model("hf://o/model"))
    (folder / "chat_template.jinja").write_text("x")
    with pytest.raises(DataError, match=r"'chat_template\.jinja' is no file of that commit; remove it from .*"):
        hub.fetch_model(model("hf://o/model"))


def test_what_is_there_is_said_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match=r"pickle \(pytorch_model\.bin\)"):
            hub.fetch_model(model("hf://o/pickle"))
        with pytest.raises(DataError, match=r"There is: data/pretrain.parquet"):
            hub.fetch_rows(rows("hf://o/split", split="validation"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "hf://o/short",
            r"Consistency check failed: file should be of size 49 but has size 33 \(.*/train\.jsonl\)\.; check",
        ),
        ("hf://o/long", "a name that no disk takes; check"),
    ],
)
def test_an_answer_that_goes_wrong_on_its_way_is_worth_another_try(source: str, said: str) -> None:
    with pytest.raises(StoreUnavailableError, match=f"^{source}: .*{said}") as told:
        hub.fetch_rows(rows(source))
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("repository", STRANGERS)
def test_what_is_no_hub_is_said(repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_BYTES", 2**19)
    with pytest.raises(StoreUnavailableError, match="what no Hub does"):
        hub.fetch_model(model(f"hf://{repository}"))


def test_a_login_in_the_address_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", constants.ENDPOINT.replace("://", "://me:s3cret@"))
    for repository in STRANGERS:
        with pytest.raises(StoreUnavailableError, match="http://…@") as caught:
            hub.fetch_model(model(f"hf://{repository}"))
        assert "s3cret" not in str(caught.value)


def test_what_comes_packed_is_not_unpacked() -> None:
    with pytest.raises(StoreUnavailableError, match="an answer in gzip, which was asked to be plain"):
        hub.fetch_model(model("hf://o/packed"))


def test_an_error_instead_of_a_file_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_BYTES", 2**19)
    with pytest.raises(StoreUnavailableError, match="more than 524,288 bytes"):
        hub.fetch_model(model("hf://o/broken"))


def test_who_asks_to_wait_for_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", slept.append)
    with pytest.raises(StoreUnavailableError, match="429 Too Many Requests"):
        hub.fetch_model(model("hf://o/later"))
    assert 1 < max(slept) < 60


def test_a_session_after_a_failed_connection_is_bounded_too() -> None:
    session.bound_answers()
    close_session()
    assert {"_bound", "_hurry"} <= {each.__name__ for each in get_session().event_hooks["response"]}


def test_no_server_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        hub.fetch_model(model("hf://o/model"))
