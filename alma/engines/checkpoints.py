"""A training's checkpoints: whole or not there, the newest two kept in its scratch folder, each sent to the store.

A checkpoint is what transformers writes: weights (safetensors) and, for exact resumption, the optimizer's, the
scheduler's and the random generators' states (torch's own files: written and read back by us only, by torch's
weights-only loader). It is written under another name and renamed when all of it is on the disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

KEPT = 2
NEEDED = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""Without the first three transformers resumes all the same, silently with a fresh optimizer: we never do."""

_STAGING = "writing"
_FETCHING = "fetching"


class Remote(Protocol):
    """Where checkpoints outlive this machine; ``alma.checkpoint_store`` is one in the artifact's store."""

    @property
    def sending(self) -> Path | None:
        """The folder that is on its way now, which must stay as it is."""

    def fetch(self, into: Path, newest_here: int, problem: Callable[[Collection[str]], str | None]) -> Path | None:
        """Fetches the newest whole checkpoint of a later step than ``newest_here`` (0: none), else ``None``.

        It comes as a folder of ``into`` named by its step. One with which ``problem``, given the names of its files,
        finds something wrong is not whole.
        """

    def send(self, step: int, folder: Path) -> None:
        """Begins to send a whole checkpoint, and returns at once; a newer one takes the place of one that waits."""

    def flush(self) -> str | None:
        """Waits until nothing is on its way; why the newest did not arrive, or ``None``."""

    def say(self, message: str) -> None:
        """Tells a person."""


class Nowhere:
    """No other place: what this machine's scratch folder holds is all there is."""

    sending = None

    def fetch(self, into: Path, newest_here: int, problem: Callable[[Collection[str]], str | None]) -> None:
        """There is nothing to fetch."""

    def send(self, step: int, folder: Path) -> None:
        """Goes nowhere."""

    def flush(self) -> None:
        """Nothing is on its way."""

    def say(self, message: str) -> None:
        """Nobody listens."""


NOWHERE = Nowhere()


def problem(names: Collection[str]) -> str | None:
    """What a checkpoint of these files lacks to be gone on from exactly, or ``None``."""
    missing = [name for name in NEEDED if name not in names]
    if not any(name.endswith(".safetensors") for name in names):
        missing.insert(0, "the weights (safetensors)")
    return f"lacks {', '.join(missing)}" if missing else None


def newest_whole(scratch: Path, remote: Remote) -> Path | None:
    """The newest whole checkpoint, here or fetched from ``remote`` into ``scratch``; ``None`` if there is none.

    What is not whole (weights alone, say) is removed, and said. One that is newer here than there is sent.
    """
    shutil.rmtree(scratch / _STAGING, ignore_errors=True)
    newest, here = 0, None
    for step, folder in _by_step(scratch):
        found = problem([path.relative_to(folder).as_posix() for path in folder.rglob("*")])
        if found:
            remote.say(f"the checkpoint of step {step} on this machine {found}: not used")
            shutil.rmtree(folder)
        else:
            newest, here = step, folder
    fetched = remote.fetch(scratch / _FETCHING, newest, problem)
    if fetched is not None:
        here = scratch / f"checkpoint-{fetched.name}"
        fetched.rename(here)
    elif here is not None:
        remote.say(f"goes on from the checkpoint of step {newest} on this machine")
        remote.send(newest, here)
    shutil.rmtree(scratch / _FETCHING, ignore_errors=True)
    return here


def staging(scratch: Path) -> Path:
    """Where the next checkpoint is written."""
    return scratch / _STAGING


def publish(scratch: Path, name: str) -> None:
    """Makes ``staging(scratch)/name`` visible as ``scratch/name``."""
    folder = staging(scratch) / name
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(scratch / name, ignore_errors=True)
    folder.rename(scratch / name)


def keep_newest(scratch: Path, sending: Path | None) -> None:
    """Removes older checkpoints than the newest two, but for the one that is being sent."""
    for _, old in _by_step(scratch)[:-KEPT]:
        if old != sending:
            shutil.rmtree(old)


def _by_step(scratch: Path) -> list[tuple[int, Path]]:
    steps = ((path.name.removeprefix("checkpoint-"), path) for path in scratch.glob("checkpoint-*"))
    return sorted((int(step), path) for step, path in steps if step.isdecimal())
