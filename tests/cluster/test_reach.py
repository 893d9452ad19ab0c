"""How the Kubernetes API is reached, and what is said where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alma.errors import ConfigError
from cluster.reach import connection
from pipelines.runs.kube import Kube, UnknownError


def kubeconfig(server: Any = "https://127.0.0.1:1", **user: Any) -> str:
    """A whole one, as JSON, which is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {} if server is None else {"server": server}}],
            "users": [{"name": "a", "user": {"token": "abc"} | user}],
        }
    )


def test_a_whole_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert connection().configuration.host == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "hello",
        "[1]",
        "a: \0",
        "users: 3",
        kubeconfig(None),
        kubeconfig("not a url"),
        kubeconfig("ftp://x"),
        kubeconfig("https://"),
        kubeconfig("https://[::1"),
        kubeconfig(3),
        kubeconfig(token="SECRET\nX: y"),
    ],
)
def test_what_names_no_server_is_told_at_once_and_by_name(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(ConfigError, match=r"no cluster: .*(KUBECONFIG|kube-config)") as raised:
        connection()
    assert "SECRET" not in str(raised.value)
    with pytest.raises(UnknownError, match="no cluster"):
        Kube()
