"""A part of the STUB of a cluster: a pod, the variables of its container, and a process of this machine for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]
Named = Mapping[str, Mapping[str, str]]
INDEX = "batch.kubernetes.io/job-completion-index"
BIN = Path(sys.executable).parent


@dataclass
class Pod:
    """A pod and its process."""

    name: str
    job: str
    index: int
    num_pods: int
    folder: Path
    spec: Object
    labels: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    held: Object | None = None
    conditions: list[Object] = field(default_factory=list)
    ended: int | None = None
    reason: str = "Error"
    told_to_end: float | None = None
    counted: bool = False
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def container(self) -> Object:
        found: Object = self.spec["containers"][0]
        return found

    @property
    def log(self) -> bytes:
        path = self.folder / "log"
        return path.read_bytes() if path.exists() else b""

    @property
    def phase(self) -> str:
        if self.ended is None:
            return "Pending" if self.process is None else "Running"
        return "Failed" if self.ended else "Succeeded"

    def shown(self) -> Object:
        state: Object = {"running": {}} if self.ended is None else {}
        if self.ended is not None:
            text = self.log.decode(errors="replace")[-2048:] if self.ended else ""
            reason = self.reason if self.ended else "Completed"
            state = {"terminated": {"exitCode": self.ended, "reason": reason, "message": text}}
        status: Object = {
            "phase": self.phase,
            "conditions": self.conditions,
            "containerStatuses": [{"name": self.container["name"], "state": state}],
        }
        if self.held:
            status |= {"containerStatuses": [], **self.held}
        annotations = {INDEX: str(self.index)}
        metadata = {"name": self.name, "uid": self.uid, "labels": self.labels, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec, "status": status}


def run_here(pod: Pod, entry: list[str], image: Mapping[str, str], named: Named) -> subprocess.Popen[bytes]:
    """Starts ``entry`` with the container's arguments; ``image`` are the variables of its image."""
    for volume in ("tmp", "cache"):
        (pod.folder / volume).mkdir(parents=True)
    of_machine = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(pod.folder / "tmp"),
        "TMPDIR": str(pod.folder / "tmp"),
        "ALMA_CACHE": str(pod.folder / "cache"),
        "OMP_NUM_THREADS": "1",
        **image,
    }
    environment = of_machine | variables(pod, of_machine, named)
    command = [*entry, *(expand(word, environment) for word in pod.container["args"])]
    outlive_nobody = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (pod.folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*outlive_nobody, *command], env=environment, cwd=pod.folder, stdout=log, stderr=log, start_new_session=True
        )


def variables(pod: Pod, known: Mapping[str, str], named: Named) -> dict[str, str]:
    """The variables that the pod's container is given; a value may name those before it, and those ``known``."""
    found: dict[str, str] = {"JOB_COMPLETION_INDEX": str(pod.index)}
    for each in pod.container["env"]:
        name = each["name"]
        if "value" in each:
            found[name] = expand(each["value"], {**known, **found})
            continue
        ((kind, source),) = each["valueFrom"].items()
        if kind == "fieldRef":
            assert source["fieldPath"] == f"metadata.annotations['{INDEX}']"
            found[name] = str(pod.index)
        elif source["key"] in named.get(source["name"], {}):
            found[name] = named[source["name"]][source["key"]]
        else:
            assert source["optional"], f"{kind} {source}: nobody made it here, and no container starts"
    return found


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` and ``$$`` as Kubernetes reads them; a name that is not there stays as it is."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", replace, text)
