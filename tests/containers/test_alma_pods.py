"""The compiled micro pipeline in containers: real engines, a real S3 server, restricted as the strictest pod."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers import podman
from tests.containers.pods import LABEL, ROOT, World, made

RUN_FILE = ROOT / "examples" / "micro.toml"
SMALL = [
    "alma.rounds=2",
    "alma.synthesize.num_attempts=900",
    "alma.synthesize.part_rows=100",
    "alma.synthesize.batch_rows=50",
    "alma.diversify.num_clusters=60",
    "alma.distill.num_prompts=60",
    "alma.respond.num_prompts=40",
    "alma.respond.num_samples=6",
    "alma.curve.num_samples=2",
    "alma.judge_seed.epochs=1",
    "alma.initial.epochs=1",
    "alma.train.epochs=1",
    "placement.retries=0",
]


pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore:Task '.*have no effect in the current local runner:UserWarning"),
]


@pytest.fixture(scope="module")
def world(
    s3_server: Any, docker_host: str, image: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with made(RUN_FILE, SMALL, s3_server, docker_host, image, tmp_path_factory.mktemp("containers")) as made_world:
        yield made_world


def kill_when(there: Callable[[], bool], stage: str, killed: list[str]) -> None:
    """Kills the container that runs ``stage`` with SIGKILL as soon as ``there()``."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if there():
            for line in podman.podman("ps", "--no-trunc", "--format={{.ID}} {{.Command}}").splitlines():
                if f"stage {stage} " in line:
                    podman.podman("kill", "--signal=KILL", line.split()[0])
                    killed.append(line)
                    return
        time.sleep(0.05)


def parts(world: World, stage: str) -> dict[str, int]:
    """The published parts of a stage's artifacts and when each was written, nanoseconds."""
    return {str(path): path.stat().st_mtime_ns for path in world.bucket.glob(f"{stage}/*/parts/*.json")}


def test_a_killed_container_costs_one_part_and_the_keys_stay(world: World, tmp_path: Path) -> None:
    killed: list[str] = []
    watch = threading.Thread(
        target=kill_when, args=(lambda: len(parts(world, "synthesize")) >= 2, "synthesize", killed)
    )
    watch.start()
    succeeded = world.run()
    watch.join()
    assert killed, f"nothing was there to kill:\n{world.output[-1][-3000:]}"
    assert not succeeded
    assert not list(world.bucket.glob("synthesize/*/manifest.json")), "it was killed before it had sealed"
    before = parts(world, "synthesize")
    assert 2 <= len(before) < 9

    assert world.run(), world.output[-1][-5000:]
    after = parts(world, "synthesize")
    assert len(after) == 9
    assert {name: after[name] for name in before} == before, "what was published is not made again"

    here = tmp_path / "store"
    settings = [word for change in SMALL for word in ("--set", change)]
    command = [sys.executable, "-m", "alma", "run", RUN_FILE, "--store", here, "--in-process", *settings]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (record,) = (json.loads(path.read_text()) for path in here.glob("runs/*.json"))
    assert world.steps() == record["artifacts"]


def test_the_dashboard_has_the_last_page(world: World) -> None:
    pages = sorted(world.root.rglob("finish/page"), key=lambda path: path.stat().st_mtime)
    assert len(pages) == 2, "one for the run that was killed, one for the run that ended"
    assert "No report yet" in pages[0].read_text()
    assert "round 03" in pages[1].read_text()


def test_no_secret_is_in_anything_that_the_run_left(world: World) -> None:
    secret = world.environment["AWS_SECRET_ACCESS_KEY"].encode()
    places = [*world.bucket.rglob("*"), *world.root.rglob("*"), world.package]
    files = [path for path in places if path.is_file()]
    assert len(files) > 200
    assert [str(path) for path in files if secret in path.read_bytes()] == []
    assert world.output
    assert all(secret.decode() not in output for output in world.output), "KFP's log of the containers' output"
    commands = podman.podman("ps", "--all", "--no-trunc", f"--filter=label={LABEL}", "--format={{.Command}}")
    assert "alma stage respond" in commands
    assert secret.decode() not in commands
