"""A compiled pipeline, run by ``kfp.local`` with every container's command run as a process of this machine.

KFP's own local runner resolves placeholders, passes artifacts, unrolls loops and calls the exit handler; only the
container is left out. ``tests/containers`` runs them in containers.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, local
from kfp.local import docker_task_handler, status

from alma.config import load
from alma.monitor import journal
from alma.store import open_store
from components.placement import Placement
from pipelines.trace import pipeline_of
from tests.builders.recipe import RUN_FILE


@dataclass
class Done:
    """What came of a pipeline: the commands that ran with their exit status and standard error."""

    folder: Path
    commands: list[tuple[list[str], int, str]] = field(default_factory=list)

    @property
    def failed(self) -> list[tuple[list[str], int, str]]:
        return [command for command in self.commands if command[1]]


def compiled(run_file: Path, overrides: list[str], placement: Placement, path: Path) -> Path:
    """Compiles a run file for this test."""
    pipeline = pipeline_of(load(run_file, overrides), placement, "alma-test")
    compiler.Compiler().compile(pipeline, str(path))
    return path


def run_here(package: Path, arguments: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Done:
    """Runs the compiled pipeline ``package``."""
    from kfp import components

    done = Done(folder)

    def run(self: docker_task_handler.DockerTaskHandler) -> status.Status:
        command = [sys.executable, "-m", *self.full_command]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        done.commands.append((self.full_command, ended.returncode, ended.stderr))
        return status.Status.FAILURE if ended.returncode else status.Status.SUCCESS

    monkeypatch.setattr(docker_task_handler.DockerTaskHandler, "run", run)
    local.init(local.DockerRunner(), pipeline_root=str(folder), raise_on_error=False)
    pipeline = components.load_component_from_file(str(package))
    pipeline(**arguments)
    return done


ON_CPUS = {"generate": {"gpus": 0}, "train": {"gpus": 0}}


def placement(**more: Any) -> Placement:
    return Placement.model_validate({"base_folder": str(RUN_FILE.parent), "retries": 0, **ON_CPUS, **more})


def steps_in(store: Path) -> list[journal.Entry]:
    opened = open_store(str(store))
    (run,) = journal.runs(opened)
    return journal.read(opened, run)
