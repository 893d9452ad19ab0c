"""The compiled micro pipeline in containers: real engines, a real S3 server, restricted as the strictest pod."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.builders.backend import Ran
from tests.builders.backend.lines import local
from tests.containers import podman
from tests.containers.pods import LABEL, ROOT, World, made, told

if TYPE_CHECKING:
    from tests.conftest import S3Server

RUN_FILE = ROOT / "examples" / "micro.toml"
SMALL = [
    "alma.rounds=1",
    "alma.synthesize.num_attempts=900",
    "alma.synthesize.part_rows=100",
    "alma.synthesize.batch_rows=50",
    "alma.diversify.num_clusters=60",
    "alma.distill.num_prompts=60",
    "alma.respond.num_prompts=40",
    "alma.respond.num_samples=6",
    "alma.curve.enabled=false",
    "alma.judge_seed.epochs=1",
    "alma.initial.epochs=1",
    "alma.train.epochs=1",
    "placement.retries=0",
]

pytestmark = [pytest.mark.containers, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def world(s3_server: S3Server, image: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made(RUN_FILE, SMALL, s3_server, image, tmp_path_factory.mktemp("containers")) as made_world:
        yield made_world


SHOWN = "--format={{.ID}} {{.Command}}"


def kill_when(there: Callable[[], bool], stage: str, killed: list[str]) -> None:
    """Kills the container that runs ``stage`` with SIGKILL as soon as ``there()``."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if there():
            for line in podman.podman("ps", "--no-trunc", f"--filter=label={LABEL}", SHOWN).splitlines():
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
    broken = world.run()
    watch.join()
    assert killed, f"nothing was there to kill:\n{told(broken)}"
    assert broken.state == "FAILED"
    assert [(task.label, task.code) for task in broken.failed] == [("synthesize", 137)]
    assert broken.tasks[-1].label == "finish", "the exit handler's task runs all the same"
    assert not list(world.bucket.glob("synthesize/*/manifest.json")), "it was killed before it had sealed"
    before = parts(world, "synthesize")
    assert 2 <= len(before) < 9

    run = world.run()
    assert run.state == "SUCCEEDED", told(run)
    after = parts(world, "synthesize")
    assert len(after) == 9
    assert {name: after[name] for name in before} == before, "what was published is not made again"
    assert world.steps() == world.steps_of_a_run_here(tmp_path / "store")


def page_of(world: World, finish: Ran) -> str:
    place = local(finish.outputs.artifacts["page"].uri, world.backend.objects)
    return Path(place).read_text(encoding="utf-8")


def test_the_dashboard_has_the_last_page(world: World) -> None:
    broken, ended = (page_of(world, run.task("finish")) for run in world.runs)
    assert ": no report yet</h1>" in broken
    assert "round 02" in ended
    assert "no report yet" not in ended


def test_a_second_run_starts_the_last_task_of_each_layer_alone(world: World) -> None:
    first = world.runs[-1]
    again = world.run()
    assert again.state == "SUCCEEDED", told(again)
    started = [task.path for task in again.tasks if not task.cached]
    last = {path.rpartition("/")[0]: path for path in (task.path for task in first.tasks)}
    assert started == [task.path for task in first.tasks if task.label == "preflight" or task.path in last.values()]
    assert len(again.hits) == len(first.tasks) - len(started) > 20


def test_no_secret_is_in_anything_that_the_run_left(world: World) -> None:
    places = [*world.bucket.rglob("*"), *world.backend.folder.rglob("*"), world.package]
    files = [path for path in places if path.is_file()]
    assert len(files) > 150
    assert [str(path) for path in files if world.secret.encode() in path.read_bytes()] == []
    ran = [task for run in world.runs for task in run.tasks if task.command]
    words = "\n".join(word for one in ran for word in (*one.command, *one.environment.values(), one.output, one.error))
    assert "executor-input" in words, "the executor input, and what it holds, is among them"
    assert ["alma", "stage", "respond"] in [one.command[:3] for one in ran]
    assert world.secret not in words
