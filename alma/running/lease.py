"""A lease in the store: who follows pods from outside renews it, and the pods stop when that falls silent.

``leases/<name>.json`` is written anew every few seconds. A pod looks whether it changes, by its own clock, so that the
two machines' clocks need not agree. It needs no right in the cluster for it: it reads the store as it is.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alma.errors import Abandoned, AlmaError, ConfigError, Stopped
from alma.running.stopping import Stop
from alma.store import Store

SILENCE_SECONDS = 300.0
"""So long a lease may stay as it is: some minutes, in which another coordinator may take the place of a dead one."""

RENEWALS = 15
"""In that time."""

LONGEST_SECONDS = 24 * 3600.0
"""That a lease may state: a pod waits a fifteenth of it between two looks."""


class Lease(BaseModel):
    """Who follows, and that it is still there."""

    model_config = ConfigDict(frozen=True)

    holder: str
    time: float
    silence_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


def object_of(name: str) -> str:
    """Where the lease lies in the store. Raises ``ConfigError`` for a name that no Job can have."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name):
        raise ConfigError(
            f"--lease {name[:60]!r}: give the name of a Job: up to 253 letters, digits, dots and dashes, the first and "
            "last of them a letter or digit"
        )
    return f"leases/{name}.json"


@contextmanager
def renewed(store: Store, name: str, holder: str, silence_seconds: float = SILENCE_SECONDS) -> Iterator[None]:
    """Renews the lease from now to the end of the block. Raises the store's errors at the first time only."""
    over = threading.Event()

    def write() -> None:
        lease = Lease(holder=holder, time=time.time(), silence_seconds=silence_seconds)
        store.write(object_of(name), lease.model_dump_json().encode())

    def renew() -> None:
        while not over.wait(silence_seconds / RENEWALS):
            try:
                write()
            except (AlmaError, OSError):
                continue  # the next one may arrive, and the pods count no time in which they cannot look

    write()
    thread = threading.Thread(target=renew, name="alma-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Watch:
    """Asks ``stop`` to stop when the lease has been silent for too long; ``silent`` says that it did."""

    def __init__(self, store: Store, name: str, stop: Stop) -> None:
        self._store, self._place, self._stop = store, object_of(name), stop
        self._seconds = SILENCE_SECONDS
        self.silent = False

    def run(self, wait: Callable[[float], bool]) -> None:
        """Looks until ``wait`` (a pause in seconds; whether to end) says so, or the lease is silent."""
        seen: bytes | None = None
        since = looked = time.monotonic()
        while not self.silent:
            try:
                found = self._read()
            except (AlmaError, OSError):  # the store is away: for whoever renews, too
                since += time.monotonic() - looked
            else:
                since = since if found == seen else time.monotonic()
                seen = found
            looked = time.monotonic()
            if looked - since > self._seconds:
                self.silent = True
                self._stop.request()
            elif wait(self._seconds / RENEWALS):
                return

    def _read(self) -> bytes | None:
        try:
            data = self._store.read(self._place)
            self._seconds = Lease.model_validate_json(data).silence_seconds
        except (FileNotFoundError, ValidationError):
            return None
        return data


@contextmanager
def watched(store: Store, name: str | None, stop: Stop) -> Iterator[None]:
    """Watches a lease, if one is named. A block that was stopped by its silence ends with ``Abandoned``."""
    if name is None:
        yield
        return
    over, watch = threading.Event(), Watch(store, name, stop)
    thread = threading.Thread(target=watch.run, args=(over.wait,), name="alma-lease", daemon=True)
    thread.start()
    try:
        yield
    except Stopped as stopped:
        if watch.silent:
            raise Abandoned(f"nobody follows any more (the lease {name} is silent): {stopped}") from stopped
        raise
    finally:
        over.set()
        thread.join()
