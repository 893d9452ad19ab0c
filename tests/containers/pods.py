"""A compiled pipeline run as a backend does, in containers, with a real S3 server, restricted as the strictest pod."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alma.monitor import journal
from alma.store import open_store
from pipelines.compile import compile_run
from tests.builders.backend import Backend, Run, in_podman
from tests.containers import podman

if TYPE_CHECKING:
    from tests.conftest import S3Server

ROOT = Path(__file__).parents[2]

LABEL = "alma-test-pipeline"


@dataclass
class World:
    """A compiled pipeline, the store of its runs, and the backend that starts their containers."""

    run_file: Path
    overrides: Sequence[str]
    package: Path
    backend: Backend
    form: dict[str, str]
    """What every run is given: the store and the images."""

    bucket: Path
    """The store, as the server has it on this machine."""

    secret: str
    runs: list[Run] = field(default_factory=list)

    def run(self) -> Run:
        """Runs the pipeline in containers."""
        self.runs.append(self.backend.run(self.package, self.form))
        return self.runs[-1]

    def steps(self) -> dict[str, str]:
        """Label → artifact of every sealed step, of all runs."""
        store = open_store(str(self.bucket))  # what the server serves, read behind its back
        entries = [entry for run in journal.runs(store) for entry in journal.read(store, run)]
        return {entry.label: str(entry.ref) for entry in entries if entry.state == "sealed"}

    def steps_of_a_run_here(self, store: Path) -> dict[str, str]:
        """The same of ``alma run`` on this machine, with ``store``."""
        settings = [word for change in self.overrides for word in ("--set", change)]
        command = [sys.executable, "-m", "alma", "run", self.run_file, "--store", store, "--in-process", *settings]
        ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        (record,) = (json.loads(path.read_text()) for path in store.glob("runs/*.json"))
        steps: dict[str, str] = record["artifacts"]
        return steps


@contextmanager
def made(
    run_file: Path, overrides: Sequence[str], s3_server: S3Server, image: Callable[..., str], folder: Path
) -> Iterator[World]:
    """A world for one run file; its containers are gone afterwards."""
    package = folder / "pipeline.yaml"
    compile_run(run_file, package, name="in-containers", overrides=overrides)
    engines, prefix = image("trl", cpu=True), uuid.uuid4().hex
    form = {"image_base": image("base"), "image_generate": engines, "image_train": engines}
    login = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.key_id,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_REGION": "us-east-1",
    }
    options = [*podman.STRICT, *podman.HOST_NETWORK, f"--label={LABEL}", "--env=OMP_NUM_THREADS=2"]
    backend = Backend(folder / "kfp", in_podman(options, {"alma-s3": login}))
    form["store"] = f"s3://{s3_server.bucket}/{prefix}"
    try:
        yield World(run_file, overrides, package, backend, form, s3_server.folder / prefix, s3_server.secret)
    finally:
        left = podman.podman("ps", "--all", "--quiet", f"--filter=label={LABEL}").split()
        if left:
            podman.podman("rm", "--force", *left)


def told(run: Run) -> str:
    """Why a run failed, for an assertion's message."""
    return "\n".join(f"{task.path}: {task.code} {task.fault} {task.error[-3000:]}" for task in run.failed)
