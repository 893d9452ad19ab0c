"""A compiled pipeline run by ``kfp.local`` in containers, with a real S3 server, restricted as the strictest pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from kfp import components, local

from alma.monitor import journal
from alma.store import open_store
from pipelines.compile import compile_run
from tests.containers import podman

ROOT = Path(__file__).parents[2]

LABEL = "alma-test-pipeline"


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
        code = "import json, sys; from tests.containers import pods; pods.in_containers(*json.loads(sys.argv[1]))"
        words = json.dumps([str(self.package), self.store, str(self.root), self.environment])
        ran = subprocess.run(
            [sys.executable, "-c", code, words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
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
