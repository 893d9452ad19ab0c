"""A training's checkpoints in its scratch folder: whole or not there, the newest two kept.

A checkpoint is what transformers writes: weights (safetensors) and, for exact resumption, the optimizer's, the
scheduler's and the random generators' states (torch's own files: written and read back by us only, by torch's
weights-only loader). It is written under another name and renamed when all of it is on the disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

KEPT = 2
NEEDED = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""Without the first three transformers resumes all the same, silently with a fresh optimizer: we never do."""

_STAGING = "writing"


def newest_whole(scratch: Path) -> Path | None:
    """The newest whole checkpoint in ``scratch``, or ``None``; what is not whole (weights alone, say) is removed."""
    shutil.rmtree(scratch / _STAGING, ignore_errors=True)
    whole = []
    for step, folder in _by_step(scratch):
        if all((folder / name).is_file() for name in NEEDED) and any(folder.glob("*.safetensors")):
            whole.append((step, folder))
        else:
            shutil.rmtree(folder)
    return whole[-1][1] if whole else None


def staging(scratch: Path) -> Path:
    """Where the next checkpoint is written."""
    return scratch / _STAGING


def publish(scratch: Path, name: str) -> None:
    """Makes ``staging(scratch)/name`` visible as ``scratch/name`` and removes older ones than the newest two."""
    folder = staging(scratch) / name
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(scratch / name, ignore_errors=True)
    folder.rename(scratch / name)
    for _, old in _by_step(scratch)[:-KEPT]:
        shutil.rmtree(old)


def _by_step(scratch: Path) -> list[tuple[int, Path]]:
    steps = ((path.name.removeprefix("checkpoint-"), path) for path in scratch.glob("checkpoint-*"))
    return sorted((int(step), path) for step, path in steps if step.isdecimal())
