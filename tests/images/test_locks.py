"""The images' lock files are what ``images/lock.sh`` would write; told from a machine that cannot find that out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
CPU_BUILDS = "https://download.pytorch.org/whl/cpu/torch/"
UNREAD = re.compile(r"^error: Failed to (?:fetch|read `--find-links` URL): `?([^\s`]+)", re.MULTILINE)
"""What uv (0.13) says of an index or a page that it cannot read, whatever the cause: no network, a proxy, an error."""


def torch_cpu() -> str | None:
    """The folder where this machine keeps PyTorch's CPU wheel, if pip is told of one."""
    pip = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    told = os.environ.get("PIP_FIND_LINKS") or subprocess.run(pip, capture_output=True, text=True, check=False).stdout
    folders = [Path(word) for word in told.split()]
    return next((str(folder) for folder in folders if list(folder.glob("torch-*+cpu-*.whl"))), None)


def why_unchecked(said: str) -> str | None:
    """What ``lock.sh --check`` could not read, from its standard error; ``None`` where a lock file is out of date."""
    unread = UNREAD.search(said)
    if unread is None or "is out of date" in said:
        return None
    return f"{unread[1]} cannot be read from this machine"


def without_cpu_builds(page: str, shown: str) -> str | None:
    """The same where ``page`` can be read and has no CPU build: uv then takes PyPI's torch, as the difference shows."""
    version = re.search(r"^-torch==(\S+\+cpu) ", shown, re.MULTILINE)
    if version is None or not page.startswith("http"):
        return None
    with urllib.request.urlopen(page, timeout=30) as answer:
        links = urllib.parse.unquote(answer.read().decode(errors="replace"))
    return None if f"torch-{version[1]}-" in links else f"{page} lists no torch {version[1]}"


def check_locks(script: Path, cache: Path, uv: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ``lock.sh --check``; skips the test, saying so, without uv or without the pages that it reads."""
    uv = uv or shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("LOCK FILES NOT CHECKED: uv is not installed; pip install uv, then pytest tests/images")
    environment = {**os.environ, "UV": uv, "UV_CACHE_DIR": str(cache)}  # an empty cache, as on a fresh machine
    folder = torch_cpu()
    if folder is not None:
        environment["TORCH_CPU"] = folder
    ran = subprocess.run([script, "--check"], env=environment, capture_output=True, text=True, check=False)
    page = environment.get("TORCH_CPU", CPU_BUILDS)
    why = ran.returncode and (why_unchecked(ran.stderr) or without_cpu_builds(page, ran.stdout))
    if why:
        remedy = "images/lock.sh --check, where it can be or with TORCH_CPU = a folder that has torch's CPU wheel"
        pytest.skip(f"LOCK FILES NOT CHECKED: {why}; {remedy}")
    return ran


@pytest.mark.timeout(300)
def test_lock_files_resolve_and_are_up_to_date(tmp_path: Path) -> None:
    """By metadata alone; the official vLLM and the CUDA build of torch are among them."""
    ran = check_locks(IMAGES / "lock.sh", tmp_path)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"


def test_a_stale_lock_file_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(IMAGES / "lock.sh", folder)
    shutil.copy(IMAGES / "build.lock", folder)
    (folder / "build.in").write_text("uv==0.13.8\n")  # setuptools is wanted no more
    ran = check_locks(folder / "lock.sh", tmp_path / "cache")
    assert ran.returncode != 0
    assert "images/build.lock is out of date: images/lock.sh" in ran.stderr
    assert "\n-setuptools==" in ran.stdout
    assert (folder / "build.lock").read_text() == (IMAGES / "build.lock").read_text(), "--check wrote"


NO_PAGE = """error: Failed to read `--find-links` URL: https://download.pytorch.org/whl/cpu/torch/
  cause: Failed to fetch: https://download.pytorch.org/whl/cpu/torch/
"""
BLOCKED = "  cause: HTTP status client error (403 Forbidden) for url (https://download.pytorch.org/whl/cpu/torch/)\n"
NO_NAME = "  cause: client error (Connect)\n  cause: dns error\n  cause: error resolving DNS\n"
NO_INDEX = "error: Failed to fetch: https://pypi.org/simple/setuptools/\n" + NO_NAME
STALE = "images/base/cpu.lock is out of date: images/lock.sh\n"
IMPOSSIBLE = """error: No solution found when resolving dependencies:
  cause: Because there is no version of torch==2.13.1 and you require torch==2.13.1, we can conclude that your
      requirements are unsatisfiable.
"""


@pytest.mark.parametrize(
    ("said", "page"),
    [
        pytest.param(NO_PAGE + BLOCKED, "https://download.pytorch.org/whl/cpu/torch/ ", id="the page is blocked"),
        pytest.param(NO_PAGE + NO_NAME, "https://download.pytorch.org/whl/cpu/torch/ ", id="the page is not found"),
        pytest.param(NO_INDEX, "https://pypi.org/simple/setuptools/ ", id="no index"),
        pytest.param(STALE, None, id="stale"),
        pytest.param(STALE + NO_PAGE + BLOCKED, None, id="stale, and the page is blocked"),
        pytest.param(IMPOSSIBLE, None, id="requirements that cannot be met"),
        pytest.param("images/lock.sh: line 38: uv: command not found\n", None, id="a broken script"),
    ],
)
def test_what_cannot_be_read_is_told_from_what_is_stale(said: str, page: str | None) -> None:
    why = why_unchecked(said)
    assert (why is None) == (page is None)
    assert page is None or str(why).startswith(page)


UV = """#!/bin/sh
echo "$*" >>"{folder}/asked"
case "$*" in
*--find-links*) cat "{folder}/said" >&2; exit 2 ;;
*{stale}*) for last; do :; done; echo "# another" >>"$last" ;;
esac
"""
"""A uv that resolves to what is there, one file excepted, and cannot read the page of CPU builds."""


@pytest.mark.parametrize("stale", ["nothing", "images/vllm/gpu.in"])
def test_without_the_page_of_cpu_builds_all_else_is_checked(tmp_path: Path, stale: str) -> None:
    (tmp_path / "said").write_text(NO_PAGE + BLOCKED)
    (tmp_path / "uv").write_text(UV.format(folder=tmp_path, stale=stale))
    (tmp_path / "uv").chmod(0o755)
    if stale == "nothing":
        with pytest.raises(pytest.skip.Exception, match=r"whl/cpu/torch/ cannot be read .*TORCH_CPU"):
            check_locks(IMAGES / "lock.sh", tmp_path / "cache", str(tmp_path / "uv"))
    else:
        ran = check_locks(IMAGES / "lock.sh", tmp_path / "cache", str(tmp_path / "uv"))
        assert ran.returncode != 0
        assert "images/vllm/gpu.lock is out of date" in ran.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert ["--find-links" in line for line in asked] == [False] * 6 + [True], "the page comes last"


@pytest.mark.parametrize("listed", ["torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl", "Please log in"])
def test_a_page_without_the_cpu_build_is_told_from_a_stale_lock(tmp_path: Path, listed: str) -> None:
    (tmp_path / "index.html").write_text(f"<a href='{listed}'>{listed}</a>")
    shown = "-torch==2.13.0+cpu \\\n+torch==2.13.0 \\\n"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/"
        why = without_cpu_builds(page, shown)
        assert without_cpu_builds(page, "-torch==2.13.0 \\\n+torch==2.14.0 \\\n") is None
        server.shutdown()
    assert why == (None if listed.startswith("torch") else f"{page} lists no torch 2.13.0+cpu")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""
