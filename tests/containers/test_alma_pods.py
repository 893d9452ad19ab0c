"""The compiled micro pipeline in containers: real engines, a real S3 server, restricted as the strictest pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import podman
import pytest
import yaml
from kfp import components, local

from alma.monitor import journal
from alma.store import open_store
from pipelines.compile import compile_run

ROOT = Path(__file__).parents[2]
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

LABEL = "alma-test-pipeline"

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(2400),
    pytest.mark.filterwarnings("ignore:Task '.*have no effect in the current local runner:UserWarning"),
]


@dataclass
class World:
    """The store, the compiled pipeline and where KFP's own files go."""

    store: str
    bucket: Path
    package: Path
    root: Path
    environment: dict[str, str]
    output: list[str] = field(default_factory=list)

    def run(self) -> bool:
        """Runs the pipeline in containers; whether it succeeded. In a process of its own, whose output is kept."""
        code = "import json, sys; from test_alma_pods import in_containers; in_containers(*json.loads(sys.argv[1]))"
        words = json.dumps([str(self.package), self.store, str(self.root), self.environment])
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), str(ROOT)])
        ran = subprocess.run(
            [sys.executable, "-c", code, words],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.output.append(ran.stdout)
        return ran.returncode == 0

    def steps(self) -> dict[str, str]:
        """Label → artifact of every sealed step, of all runs."""
        store = open_store(str(self.bucket))  # what the server serves, read behind its back
        entries = [entry for run in journal.runs(store) for entry in journal.read(store, run)]
        return {entry.label: str(entry.ref) for entry in entries if entry.state == "sealed"}


def in_containers(package: str, store: str, root: str, environment: dict[str, str]) -> None:
    """What ``World.run`` does in its process."""
    run = docker.models.containers.ContainerCollection.run

    def kept(self: Any, **arguments: Any) -> Any:
        return run(self, **arguments | {"auto_remove": False, "labels": [LABEL]})

    # kfp has containers removed when they end, and takes one that is gone when it asks for its exit status as done.
    docker.models.containers.ContainerCollection.run = kept
    runner = local.DockerRunner(
        network_mode="host",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        tmpfs={"/tmp": "", "/cache": ""},
        mem_limit="4g",
        environment=environment,
    )
    local.init(runner, pipeline_root=root)
    components.load_component_from_file(package)(store=store)


def with_images(package: Path, images: dict[str, str]) -> None:
    """Puts the images' names where the server would: ``kfp.local`` (2.17) takes an image as it stands."""
    documents = list(yaml.safe_load_all(package.read_text(encoding="utf-8")))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        (name,) = (name for role, name in images.items() if f"--{role}_image" in executor["container"]["image"])
        executor["container"]["image"] = name
    package.write_text(yaml.safe_dump_all(documents), encoding="utf-8")


@pytest.fixture(scope="module")
def world(
    s3_server: Any, docker_host: str, image: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with made(RUN_FILE, SMALL, s3_server, docker_host, image, tmp_path_factory.mktemp("containers")) as made_world:
        yield made_world


@contextmanager
def made(
    run_file: Path, overrides: list[str], s3_server: Any, docker_host: str, image: Callable[..., str], folder: Path
) -> Iterator[World]:
    """A world for one run file; its containers are gone afterwards."""
    root = folder / "root"
    root.mkdir()
    root.chmod(0o777)  # the containers' user is nobody here
    package = folder / "pipeline.yaml"
    compile_run(run_file, package, name="in-containers", overrides=overrides)
    engines = image("trl", cpu=True)
    with_images(package, {"base": image("base"), "generate": engines, "train": engines})
    environment = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.key_id,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_REGION": "us-east-1",
        "OMP_NUM_THREADS": "2",
    }
    prefix = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", docker_host)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield World(f"s3://{s3_server.bucket}/{prefix}", s3_server.folder / prefix, package, root, environment)
    left = podman.podman("ps", "--all", "--quiet", f"--filter=label={LABEL}").split()
    if left:
        podman.podman("rm", "--force", *left)


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
