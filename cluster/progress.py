"""How far a Job is: the sum of what its pods write of themselves into the store's journal."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from alma.errors import StoreUnavailableError
from alma.monitor.journal import Entry, Place
from alma.parallel import FILES, in_order
from alma.progress import Event
from alma.store import Store


def places(run: str, label: str, shards: int) -> list[Place]:
    """Where the pods of a step write."""
    if shards == 1:
        return [Place(run, label)]
    return [Place(run, label, f"{index}-of-{shards}") for index in range(shards)]


def entries(store: Store, where: Sequence[Place]) -> list[Entry]:
    """What is there; a pod that has not begun has none."""

    def read(place: Place) -> Entry | None:
        try:
            return Entry.model_validate_json(store.read(place.name))
        except (FileNotFoundError, ValidationError, StoreUnavailableError):
            return None

    return [entry for entry in in_order(read, where, FILES) if entry]


def together(found: Sequence[Entry]) -> Event | None:
    """One event of progress of all shards; ``None`` before there is anything to count."""
    counted = [entry for entry in found if entry.total is not None]
    if not counted:
        return None
    going = [entry for entry in counted if entry.state == "running"]
    rates = [entry.per_second for entry in going if entry.per_second]
    left = [entry.left_seconds for entry in going if entry.left_seconds is not None]
    return {
        "event": "progress",
        "done": sum(entry.done for entry in counted),
        "total": sum(entry.total or 0 for entry in counted),
        "unit": counted[0].unit,
        "tokens": sum(entry.tokens for entry in counted),
        "seconds": max(entry.seconds for entry in counted),
        "per_second": round(sum(rates), 2) if rates else None,
        "left_seconds": max(left) if left else None,
    }
