"""The scratch folder of one shard of a stage: locked by one process at a time, kept for the next attempt.

It lies in the store's folder, where there is room, else in this machine's cache. Some network file systems have no
flock(2). Where the store's has none, the scratch folder lies in the cache, as that of a bucket does: machines do not
share it, and find each other's work in the store. Where the cache has none either, it is this process's alone, so that
two attempts at one work never write to one folder; one that is killed leaves it behind.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alma.artifact import Ref
from alma.progress import tell
from alma.store import Store
from alma.store.cache import store_cache
from alma.store.files import file_errors
from alma.store.locks import lock


@contextmanager
def locked_scratch(store: Store, ref: Ref, shard: str) -> Iterator[Path]:
    """Locks the scratch folder of this shard of the work. It outlives a killed process; the lock does not."""
    shared, own = store.local(".scratch"), store_cache(store) / ".scratch"
    for root in filter(None, (shared, own)):
        with file_errors(root):
            locks = root / "locks"
            locks.mkdir(parents=True, exist_ok=True)
            file = (locks / f"{ref.stage}-{ref.key}-{shard}").open("w")
        with file:
            if not lock(file):
                continue
            yield _folder(root / ref.stage / f"{ref.key}-{shard}")
            return
    tell(f"{own} has no file locks: what a killed attempt leaves in {own / ref.stage} is not used by the next")
    alone = _folder(own / ref.stage / f"{ref.key}-{shard}-{secrets.token_hex(6)}")
    try:
        yield alone
    finally:
        shutil.rmtree(alone, ignore_errors=True)


def _folder(scratch: Path) -> Path:
    with file_errors(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
    return scratch
