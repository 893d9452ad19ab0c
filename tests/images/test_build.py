"""images/build.sh, with a podman that builds nothing: what is said, and what the build is given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PODMAN = """#!/usr/bin/env bash
for word in "$@"; do
    case $word in
        id=index,src=*) cat "${word#id=index,src=}" ;;
        *:/mnt:ro) echo "$word" ;;
    esac
done
"""


def build(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    tools = folder / "tools"
    tools.mkdir()
    (tools / "podman").write_text(PODMAN)
    (tools / "podman").chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "VERSION": "1", **environment}
    where = folder if Path(script).is_absolute() else ROOT
    command = ["bash", script, "--cpu", "trl"]
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)


def test_what_is_named_is_read_from_where_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "mine.env").write_text("PIP_INDEX_URL=https://mine\n")
    (tmp_path / "the wheels").mkdir()
    done = build(tmp_path, str(ROOT / "images" / "build.sh"), INDEX="mine.env", WHEELS="the wheels")
    assert done.returncode == 0, done.stderr
    assert "PIP_INDEX_URL=https://mine\n" in done.stderr
    assert f"{tmp_path}/the wheels:/mnt:ro\n" in done.stderr


def test_wheels_that_are_not_there_are_said(tmp_path: Path) -> None:
    done = build(tmp_path, "images/build.sh", WHEELS="/the/wheles")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "images/build.sh: WHEELS=/the/wheles: no folder is there\n"


@pytest.mark.parametrize("named", ["images/build.sh", "./images/build.sh"])
def test_names_of_images_are_all_that_is_written_wherever_cd_looks(tmp_path: Path, named: str) -> None:
    (tmp_path / "images").mkdir()
    done = build(tmp_path, named, CDPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "localhost/alma-trl:1-cpu\n"), done.stderr
