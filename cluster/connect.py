"""Makes what connects the pods of one Job, or finds it made: a Service by which they meet, a policy that lets them."""

from __future__ import annotations

import time
from collections.abc import Callable

from alma.errors import ConfigError, Stopped
from cluster.api import Api
from cluster.names import OURS
from cluster.network import policy_of, service_of
from cluster.shapes import Object

GONE_SECONDS = 120.0
"""How long what belonged to an earlier Job of that name is waited for to be gone; Kubernetes takes a moment."""

Say = Callable[[str], None]


def connect(api: Api, job: Object, say: Say, stopping: Callable[[], bool], poll_seconds: float = 2.0) -> None:
    """Sees to it that the Service and the NetworkPolicy of a created Job are there, and are this very Job's.

    Kubernetes deletes those of an earlier Job a moment after that Job: what is found may be about to go, and is waited
    for. Raises ``ConfigError`` where a name is taken for good, ``Stopped`` where a wait is cut short.
    """
    made = ((service_of(job), api.create_service, api.service), (policy_of(job), api.create_policy, api.policy))
    for wanted, create, read in made:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        deadline, told = time.monotonic() + GONE_SECONDS, False
        while create(wanted) is None:
            there = read(name)
            if there and _owners(there) & _owners(wanted):
                break
            if there and (not _is_ours(there) or time.monotonic() > deadline):
                raise ConfigError(
                    f"the {kind} {name} is there already and belongs to no Job that is: remove it, or give another "
                    "--job-name-prefix"
                )
            if there and not told:
                told = True
                say(f"waits for the {kind} of an earlier Job {name} to go")
            if stopping():
                raise Stopped(f"stopped as asked before the {kind} of the Job {name} was there")
            time.sleep(poll_seconds)


def _owners(found: Object) -> set[str]:
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []}


def _is_ours(found: Object) -> bool:
    return bool((found["metadata"].get("labels") or {}).items() >= OURS.items())
