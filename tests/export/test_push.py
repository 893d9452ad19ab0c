"""The Hub, by a server on this machine that speaks as much of its protocol as an upload needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from alma.errors import AccessError, ConfigError, StoreUnavailableError
from alma.export import push
from alma.export.push import check_push

TOKEN = "hf_a-token-that-may-write"


class UploadHub(BaseHTTPRequestHandler):
    """Takes a repository and one commit; without the token it refuses, for ``o/down`` it fails."""

    made: dict[str, Any]
    files: dict[str, bytes]

    def do_POST(self) -> None:
        body = self._body()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            type(self).made = json.loads(body)
            down = self.made["name"] == "down"
            self._answer(500 if down else 200, {"url": f"{constants.ENDPOINT}/o/made"})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            kept = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in asked]
            self._answer(200, {"files": kept})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            values = [line["value"] for line in lines if line["key"] == "file"]
            type(self).files = {value["path"]: base64.b64decode(value["content"]) for value in values}
            self._answer(200, {"commitUrl": f"{constants.ENDPOINT}/o/name/commit/1", "commitOid": "1" * 40})

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        found = b""
        while size := int(self.rfile.readline(), 16):  # chunked
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def do_GET(self) -> None:
        self._answer(404, {})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[UploadHub]]:
    """The library read its environment when it was imported, so its constants are what can be set."""
    with ThreadingHTTPServer(("127.0.0.1", 0), UploadHub) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its five retries
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield UploadHub
        running.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("# mine\n")
    (tmp_path / "out" / "config.json").write_text("{}")
    return tmp_path / "out"


def test_the_folder_is_uploaded_in_one_commit(hub: type[UploadHub], folder: Path) -> None:
    assert push(folder, "o/name", public=False) == f"{constants.ENDPOINT}/o/name/commit/1"
    assert (hub.made["name"], hub.made["visibility"]) == ("name", "private"), "nobody else sees it unless asked"
    assert hub.files == {"README.md": b"# mine\n", "config.json": b"{}"}


def test_what_the_hub_refuses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="owner/name"):
        push(folder, "name", public=False)
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ConfigError, match="--push o/name: HF_HUB_OFFLINE is set"):
            check_push("o/name")
    with pytest.raises(StoreUnavailableError, match="500"):
        push(folder, "o/down", public=False)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(AccessError, match="set HF_TOKEN to a token that may write") as refused:
        push(folder, "o/name", public=False)
    assert "hf_another" not in str(refused.value)
