"""The Kubernetes Job this process may be the pod of: who it is, and whether it is coming to its end.

SIGTERM says only that the pod ends. A deleted Job means "stop the run"; an evicted pod, a drained node or a suspended
Job does not: a new pod will go on following. Only the Job object tells the two apart.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from alma.errors import ConfigError
from pipelines.runs.kube import Kube, MissingError, known


@dataclass(frozen=True)
class Job:
    """A Job, by the environment that its pod gets from the downward API."""

    name: str
    uid: str
    namespace: str


def own_job() -> Job | None:
    """The Job of this pod: ``JOB_NAME``, ``JOB_UID`` and ``POD_NAMESPACE``; none outside a Job.

    Raises ``ConfigError`` where only some of them are set.
    """
    values = {name: os.environ.get(name, "") for name in ("JOB_NAME", "JOB_UID", "POD_NAMESPACE")}
    if not values["JOB_NAME"] and not values["JOB_UID"]:
        return None
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise ConfigError(
            f"the environment has no {', '.join(missing)}; take them from the downward API: metadata.labels"
            "['batch.kubernetes.io/job-name'], ['batch.kubernetes.io/controller-uid'], metadata.namespace"
        )
    return Job(values["JOB_NAME"], values["JOB_UID"], values["POD_NAMESPACE"])


@known()
def ending(job: Job, seconds: float = 3.0) -> str | None:
    """Why the Job comes to its end, or none where it goes on.

    Asks for ``seconds``, because a namespace on its way out, or a deadline, marks the Job after its pods. Raises
    ``UnknownError`` with the reason where it cannot be known.
    """
    kube = Kube()
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = kube.job(job.name, job.namespace)
        except MissingError:
            return "is gone"
        if found["metadata"].get("uid") != job.uid:
            return "is gone, another has its name"
        if found["metadata"].get("deletionTimestamp") is not None:
            return "is being deleted"
        for condition in found.get("status", {}).get("conditions") or []:
            if condition["type"] in ("Failed", "FailureTarget") and condition["status"] == "True":
                return f"has failed ({condition.get('reason')})"
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.5)
