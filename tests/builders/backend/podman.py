"""How a container is started by podman, with what the compiled task asks of Kubernetes and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tests.builders.backend.containers import Container, Ended, Start, run_here
from tests.builders.backend.values import BackendError

Named = Mapping[str, Mapping[str, str]]
"""Secrets and ConfigMaps of the namespace: name → what they hold."""

SOURCES = {"secretAsEnv": ("secretName", "secretKey"), "configMapAsEnv": ("configMapName", "configMapKey")}
"""Setting → where it has the name of the object, and of what is taken from it."""


def in_podman(options: Sequence[str] = (), named: Named | None = None) -> Start:
    """By ``podman run`` with ``options``. A task is given volumes, memory and variables only as it asks for them.

    The command takes the place of the image's entry point, as in Kubernetes. What ``named`` holds stands in no command
    line of this machine: podman takes it from its own environment.
    """

    def start(container: Container) -> Ended:
        taken = variables(container.settings, named or {})
        command = ["podman", "run", "--rm", *options, f"--volume={container.folder}:{container.folder}"]
        command += [f"--tmpfs={mount['mountPath']}" for mount in container.settings.get("emptyDirMounts", [])]
        if container.memory:
            command += [f"--memory={container.memory.removesuffix('i').lower()}"]  # podman's g are Kubernetes' Gi
        command += [f"--env={name}" for name in taken]
        command += [f"--env={name}={value}" for name, value in container.environment.items()]
        return run_here([*command, "--entrypoint=", container.image, *container.command], {**os.environ, **taken})

    return start


def variables(settings: Mapping[str, Any], named: Named) -> dict[str, str]:
    """The variables that a task takes from Secrets and ConfigMaps; raises ``BackendError`` for one that must be."""
    found: dict[str, str] = {}
    for setting, (name_of, key_of) in SOURCES.items():
        for asked in settings.get(setting, []):
            name, optional = asked[name_of], asked.get("optional", False)
            for one in asked["keyToEnv"]:
                if one[key_of] in named.get(name, {}):
                    found[one["envVar"]] = named[name][one[key_of]]
                elif not optional:
                    raise BackendError(f"{setting}: there is no {name!r} with {one[key_of]!r}, and no pod starts")
    return found
