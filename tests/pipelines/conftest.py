"""What tests of runs on a server share: a small pipeline, a stub of KFP's API, the command for it, a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.kfp_stub import KfpStub
from tests.builders.kubernetes_stub import JobsStub
from tests.builders.stub_server import served
from tests.builders.submitting import Pipelines, compile_small, kubernetes


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small compiled pipeline."""
    return compile_small(tmp_path_factory.mktemp("package") / "small.yaml")


@pytest.fixture
def stub() -> KfpStub:
    """A server on which nothing happens; tests that want more give it a script, or a ``stub`` of their own."""
    return KfpStub()


@pytest.fixture
def pipelines(stub: KfpStub, tmp_path: Path) -> Iterator[Pipelines]:
    """``python -m pipelines`` for that server."""
    with served(stub) as host:
        command = Pipelines(tmp_path, host)
        yield command
        command.close()


@pytest.fixture
def run_id(pipelines: Pipelines, package: Path) -> str:
    """A run that was submitted, and that nobody follows."""
    done = pipelines("submit", package, "--set", "store=a", "--name", "mine")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def jobs(pipelines: Pipelines, tmp_path: Path) -> Iterator[JobsStub]:
    """The Kubernetes API of the Job that the command is."""
    with kubernetes(pipelines, tmp_path) as jobs:
        yield jobs
