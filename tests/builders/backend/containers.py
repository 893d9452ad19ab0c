"""What a container is, and how one is started as a process of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


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


def run_here(command: list[str], environment: dict[str, str]) -> Ended:
    """Runs a program of this machine to its end."""
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr)
