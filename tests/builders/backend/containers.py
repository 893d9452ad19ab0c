"""What a container is, and how one is started as a process of this machine."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from alma.stages import STAGES

ROOT = Path(__file__).parents[3]

PRELOADED = (
    *("alma.cli", "alma.running.pod", "alma.running.preflight", "alma.running.finish", "alma.running.hand_on"),
    *(f"alma.stages.{name}" for name in STAGES),
    *("alma.engines.echo", "alma.page", "alma.store.s3", "sklearn.cluster"),
)
"""What a fork need not import again."""


@dataclass(frozen=True)
class Container:
    """What a pod of one task is asked to run."""

    label: str
    """The task's name in the dashboard."""

    command: list[str]
    image: str
    environment: dict[str, str]

    folder: Path
    """All that it may read and write of KFP's: mounted at this same path."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the task asks of Kubernetes, as compiled."""

    memory: str = ""
    """The most that it may take, a quantity of Kubernetes; empty: all that there is."""


@dataclass(frozen=True)
class Ended:
    """What came of it."""

    code: int
    output: str = ""
    error: str = ""


Start = Callable[[Container], Ended]


def here(container: Container) -> Ended:
    """As a process: ``alma`` and ``python`` are those of this Python, and this checkout can be imported."""
    name, *rest = container.command
    start = {"alma": [sys.executable, "-m", "alma"], "python": [sys.executable], "python3": [sys.executable]}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, **container.environment}
    return run_here([*start.get(name, [name]), *rest], environment)


def forked(container: Container) -> Ended:
    """As ``here``, by a fork of this process, which has imported most of alma: a tenth of the time. ``alma`` only."""
    name, *arguments = container.command
    assert name == "alma", f"{name}: only alma's own commands are run by a fork"
    for module in PRELOADED:
        importlib.import_module(module)
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as error:
        child = os.fork()
        if child == 0:
            _child(arguments, container.environment, output, error)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        error.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), output.read(), error.read())


def _child(arguments: list[str], environment: Mapping[str, str], output: IO[str], error: IO[str]) -> NoReturn:
    code = 1
    try:
        os.environ.update(environment)
        os.dup2(output.fileno(), 1)
        os.dup2(error.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        importlib.import_module("alma.cli").main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it was, this process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_here(command: list[str], environment: dict[str, str]) -> Ended:
    """Runs a program of this machine to its end."""
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr)
