"""One Job per artifact: made, or found where another attempt or another run has made it already."""

from __future__ import annotations

import time
from collections.abc import Callable

from alma.errors import ConfigError, Stopped
from cluster.api import Api
from cluster.names import ARTIFACT, OURS, STORE
from cluster.shapes import Object

Say = Callable[[str], None]


def adopt(api: Api, job: Object, say: Say, stopping: Callable[[], bool], poll_seconds: float = 2.0) -> Object:
    """The Job of that name in the cluster, created if there is none. One that has failed makes room for a new one.

    Raises ``ConfigError`` where the name is taken by something else, ``Stopped`` where a wait is cut short.
    """
    name = job["metadata"]["name"]
    told = False
    while True:
        if stopping():
            raise Stopped(f"stopped as asked before the Job {name} was there")
        found = api.job(name) or api.create_job(job)
        if found is None:  # made and gone between two questions, or a quota was just being counted
            time.sleep(poll_seconds)
            continue
        check_ours(found, job)
        if finished(found) == "Failed" and "deletionTimestamp" not in found["metadata"]:
            say(f"the Job {name} of an earlier attempt has failed: it makes room for a new one")
            api.delete_job(name, found["metadata"]["uid"], foreground=True)
        elif "deletionTimestamp" not in found["metadata"]:
            return found
        elif not told:
            told = True
            say(f"waits for the pods of an earlier Job {name} to end")
        time.sleep(poll_seconds)


def check_ours(found: Object, job: Object) -> None:
    """Raises ``ConfigError`` where ``found`` makes something else than ``job`` does."""
    wanted = job["metadata"]["annotations"]
    there = found["metadata"].get("annotations") or {}
    labels = found["metadata"].get("labels") or {}
    is_ours = labels.items() >= OURS.items()
    if not is_ours or any(there.get(what) != wanted[what] for what in (ARTIFACT, STORE)):
        whose = f"makes {there[ARTIFACT]} in {there.get(STORE)}" if ARTIFACT in there else "is none of alma's"
        raise ConfigError(
            f"the Job {found['metadata']['name']} is there already and {whose}, not {wanted[ARTIFACT]} in "
            f"{wanted[STORE]}: remove it, or give another --job-name-prefix"
        )


def finished(job: Object) -> str | None:
    """``Complete``, ``Failed``, or ``None`` for a Job that goes on."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None
