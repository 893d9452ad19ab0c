"""How a container is started: as a process of this machine, or by podman."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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
    return _run([*start.get(name, [name]), *rest], environment)


def in_podman(images: Mapping[str, str], options: Sequence[str], environment: Mapping[str, str]) -> Start:
    """By ``podman run`` with ``options``; an image that the pipeline names is the one that ``images`` has for it.

    The command takes the place of the image's entry point, as in Kubernetes.
    """

    def start(container: Container) -> Ended:
        variables = {**environment, **container.environment}
        command = [
            "podman",
            "run",
            "--rm",
            *options,
            f"--volume={container.folder}:{container.folder}",
            "--entrypoint=",
        ]
        command += [f"--env={name}={value}" for name, value in variables.items()]
        return _run([*command, images.get(container.image, container.image), *container.command], dict(os.environ))

    return start


def _run(command: list[str], environment: dict[str, str]) -> Ended:
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return Ended(ran.returncode, ran.stdout, ran.stderr)
