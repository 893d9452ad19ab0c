"""One iteration of ISARA as a compiled pipeline in containers: real engines, a real S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.containers.pods import ROOT, made

RUN_FILE = ROOT / "examples" / "isara-micro.toml"
SMALL = [
    "isara.iterations=1",
    "isara.repeats=[1]",
    "isara.imitate.num_attempts=48",
    "isara.baselines.in_context=false",
    "isara.baselines.sft=false",
    "isara.baselines.one_shot=false",
    "isara.evaluation_prompts.limit=40",
    "placement.retries=0",
]

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:Task '.*have no effect in the current local runner:UserWarning"),
]


def test_one_iteration_in_containers_has_the_keys_of_a_run_here(
    s3_server: Any, docker_host: str, image: Callable[..., str], tmp_path: Path
) -> None:
    with made(RUN_FILE, SMALL, s3_server, docker_host, image, tmp_path) as world:
        assert world.run(), world.output[-1][-5000:]
        steps = world.steps()
    assert "repeat 1 · isara 1 · imitate" in steps
    here = tmp_path / "store"
    settings = [word for change in SMALL for word in ("--set", change)]
    command = [sys.executable, "-m", "alma", "run", RUN_FILE, "--store", here, "--in-process", *settings]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (record,) = (json.loads(path.read_text()) for path in here.glob("runs/*.json"))
    assert steps == record["artifacts"]
