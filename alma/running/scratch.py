"""The scratch folder of one shard of a stage: locked by one process at a time, kept for the next attempt."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alma.artifact import Ref
from alma.store import Store
from alma.store.cache import store_cache


@contextmanager
def locked_scratch(store: Store, ref: Ref, shard: str) -> Iterator[Path]:
    """Locks the scratch folder of this shard of the work. It outlives a killed process; the lock does not."""
    root = store.local(".scratch") or store_cache(store) / ".scratch"
    locks = root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{ref.stage}-{ref.key}-{shard}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scratch = root / ref.stage / f"{ref.key}-{shard}"
        scratch.mkdir(parents=True, exist_ok=True)
        yield scratch
