"""What answers in the place of the Kubernetes API."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alma import bounded_pool
from alma.errors import ConfigError, TransientError
from cluster import api
from cluster.api import Api
from pipelines.runs import kube
from pipelines.runs.kube import Kube, UnknownError


class Endless(BaseHTTPRequestHandler):
    """Answers every request with JSON that has no end: at once, or by the byte."""

    slow = False

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with suppress(OSError):  # whoever asked has gone
            self.wfile.write(b'{"items": ["')
            for _ in range(400):
                self.wfile.write(b"x" if self.slow else b"x" * 2**16)
                time.sleep(0.02 if self.slow else 0)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def told_of(server: type[Endless], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """KUBECONFIG names it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), server) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        config = {
            "clusters": [{"name": "stub", "cluster": {"server": f"http://127.0.0.1:{running.server_port}"}}],
            "users": [{"name": "pod", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "pod"}}],
            "current-context": "stub",
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        yield
        running.shutdown()


@pytest.mark.parametrize(("slow", "said"), [(False, "an answer of more than 1 MiB"), (True, "no whole answer within")])
def test_an_answer_without_end_is_none(slow: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_pool, "MOST_BYTES", 2**20)
    monkeypatch.setattr(api, "REQUEST_SECONDS", (5.0, 1.0))
    monkeypatch.setattr(kube, "REQUEST_SECONDS", (5.0, 1.0))
    with told_of(type("Server", (Endless,), {"slow": slow}), tmp_path, monkeypatch):
        with pytest.raises(TransientError, match=rf"does not answer \(list pods\): HTTPError: {said}"):
            Api("here", patience=0.1).pods("job")
        assert Api("here", patience=0.1).last_lines("pod", 10) == ""
        with pytest.raises(UnknownError, match="HTTPError"):
            Kube().pods("here", "a=b")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("clusters: [", "ParserError"),
        ("[]", "TypeError"),
        ("a text", "TypeError"),
        ("current-context: 5\nclusters: 3\n", "TypeError"),
        ("{}", "Invalid kube-config"),
        (b"\xff\xfe", "UnicodeDecodeError"),
        (None, "is a pipe"),
    ],
)
def test_a_kubeconfig_that_is_none_is_said(
    written: str | bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'not there'}:{path}")
    if written is None:
        os.mkfifo(path)
    else:
        path.write_bytes(written.encode() if isinstance(written, str) else written)
    with pytest.raises(UnknownError):
        Kube()
    with pytest.raises(ConfigError, match=f"(?s)KUBECONFIG = .*{path}.*{said}"):
        Api("here")


class Stranger(Endless):
    """Answers every request as a proxy may."""

    said = b"{}"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)


@pytest.mark.parametrize("said", [b"{}", b"[]", b"null", b'{"status": "ok"}'])
def test_what_is_no_kubernetes_is_tried_again_and_said(
    said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = r"\(get jobs\): ValueError: it does not answer as a Kubernetes API does"
    server = type("Server", (Stranger,), {"said": said})
    with told_of(server, tmp_path, monkeypatch), pytest.raises(TransientError, match=strange):
        Api("here", patience=0.1).job("job")


JOB = {"metadata": {"name": "job", "uid": "u"}, "spec": {"template": {"spec": {}}}, "status": {}}
POD = {"metadata": {"name": "pod", "uid": "u"}, "status": {"phase": "Failed"}}


def altered(found: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """``found`` with ``value`` at ``path``, or, where that is ``None``, without what is there."""
    copied: dict[str, Any] = json.loads(json.dumps(found))
    *outer, last = path.split(".")
    inner = copied
    for name in outer:
        inner = inner[name]
    inner.pop(last, None)
    if value is not None:
        inner[last] = value
    return copied


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata", None),
        ("metadata", ["a"]),
        ("metadata.name", None),
        ("metadata.uid", None),
        ("metadata.uid", 1),
        ("metadata.labels", ["a"]),
        ("metadata.labels", {"a": 1}),
        ("metadata.annotations", "a"),
        ("metadata.ownerReferences", [{}]),
        ("spec", None),
        ("spec.template", None),
        ("spec.completions", "3"),
        ("status", "Complete"),
        ("status.conditions", [{"type": "Complete"}]),
        ("status.conditions", ["Complete"]),
        ("status.active", "1"),
    ],
)
def test_a_job_that_is_none_is_tried_again_and_said(
    path: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = altered(JOB, path, value)
    strange = rf"\({{}} jobs\): ValueError: it does not answer as a Kubernetes API does: .*{path}"
    server = type("Server", (Stranger,), {"said": json.dumps({"kind": "Job", **job}).encode()})
    with told_of(server, tmp_path, monkeypatch), pytest.raises(TransientError, match=strange.format("get")):
        Api("here", patience=0.1).job("job")
    if not path.startswith("metadata"):  # of those that are listed, no more is read
        return
    server = type("Server", (Stranger,), {"said": json.dumps({"kind": "JobList", "items": [JOB, job]}).encode()})
    with told_of(server, tmp_path, monkeypatch), pytest.raises(TransientError, match=strange.format("list")):
        Api("here", patience=0.1).jobs("a=b")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.uid", None),
        ("metadata.annotations", {"a": None}),
        ("status", ["a"]),
        ("status.phase", 1),
        ("status.conditions", [{"type": "PodScheduled", "status": "False", "message": 3}]),
        ("status.containerStatuses", [None]),
        ("status.containerStatuses", [{"name": "stage", "state": "waiting"}]),
        ("status.containerStatuses", [{"name": "stage", "state": {"terminated": {"exitCode": "2"}}}]),
        ("status.containerStatuses", [{"name": "stage", "state": {"waiting": ["ErrImagePull"]}}]),
    ],
)
def test_a_pod_that_is_none_is_tried_again_and_said(
    path: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"kind": "PodList", "items": [altered(POD, path, value)]}
    server = type("Server", (Stranger,), {"said": json.dumps(said).encode()})
    strange = rf"\(list pods\): ValueError: it does not answer as a Kubernetes API does: {path}"
    with told_of(server, tmp_path, monkeypatch), pytest.raises(TransientError, match=strange):
        Api("here", patience=0.1).pods("job")


@pytest.mark.parametrize("items", ["Pod", [None], {"a": POD}])
def test_a_list_that_is_none_is_tried_again_and_said(
    items: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = type("Server", (Stranger,), {"said": json.dumps({"kind": "PodList", "items": items}).encode()})
    strange = r"\(list pods\): ValueError: it does not answer as a Kubernetes API does"
    with told_of(server, tmp_path, monkeypatch), pytest.raises(TransientError, match=strange):
        Api("here", patience=0.1).pods("job")


@pytest.mark.parametrize("said", [{"items": None}, {}])
def test_a_list_of_nothing_is_one(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = type("Server", (Stranger,), {"said": json.dumps({"kind": "PodList", **said}).encode()})
    with told_of(server, tmp_path, monkeypatch):
        assert Api("here", patience=0.1).pods("job") == []


def test_waiting_for_an_api_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who says it of everything that is waited for (``alma.store.waiting``)."""
    waited: list[str] = []

    @contextmanager
    def waiting(whom: str) -> Iterator[None]:
        waited.append(f"for {whom}")
        try:
            yield
        finally:
            waited.append("no longer")

    monkeypatch.setattr(api, "waiting", waiting)
    with told_of(Endless, tmp_path, monkeypatch):
        pass  # it has gone again
    with pytest.raises(TransientError, match="the Kubernetes API does not answer"):
        Api("here", patience=0.1).pods("job")
    assert waited == ["for the Kubernetes API", "no longer"]
