"""The error that a failed Job is to whoever waits for it: as the stage itself would have raised it."""

from __future__ import annotations

from collections.abc import Sequence

from alma import errors
from alma.errors import (
    EXIT_ABANDONED,
    EXIT_FAILED,
    EXIT_USER,
    AlmaError,
    DataError,
    StageError,
    TransientError,
)
from cluster.placement import StagePlacement
from cluster.pods import Death
from cluster.shapes import Object


def failure(job: Object, deaths: Sequence[Death], stage: str, placement: StagePlacement) -> AlmaError:
    """Why ``job`` has failed: exit 2 and 1 as the pod said, 75 for what another attempt may pass."""
    name = job["metadata"]["name"]
    condition: Object = next(
        (each for each in job["status"]["conditions"] if each["type"] in ("Failed", "FailureTarget")), {}
    )
    reason, said = condition.get("reason", "Failed"), condition.get("message", "")
    if reason == "DeadlineExceeded":
        return StageError(
            f"the Job {name} ran longer than placement.stages.{stage}.timeout_seconds = {placement.timeout_seconds}; "
            "raise it: what is published is kept"
        )
    for code in (EXIT_USER, EXIT_FAILED):
        if dead := next((each for each in reversed(deaths) if each.code == code), None):
            return _as_raised(dead, f"the Job {name} has failed: {dead.message}")
    if any(each.code == EXIT_ABANDONED for each in deaths):
        return TransientError(f"the Job {name} was left alone for too long, and ended; what it published is kept")
    last = deaths[-1].message if deaths else "its pods are gone"
    tries = f" after {placement.retries} retries" if reason in ("MaxFailedIndexesExceeded", "FailedIndexes") else ""
    return TransientError(f"the Job {name} has failed{tries} ({reason}: {said}): {last}")


def _as_raised(dead: Death, message: str) -> AlmaError:
    kind = getattr(errors, str((dead.error or {}).get("kind")), None)
    if isinstance(kind, type) and issubclass(kind, AlmaError) and kind.exit_code == dead.code:
        return kind(message)
    if dead.code == EXIT_USER:
        return DataError("\n".join((message, *dead.lines)))
    return StageError("\n".join((message, *dead.lines)))
