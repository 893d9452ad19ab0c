"""A training's checkpoints: whole or not there, the newest two kept in its scratch folder, each sent to the store.

A checkpoint is what transformers writes: weights (safetensors) and, for exact resumption, the optimizer's, the
scheduler's and the random generators' states. It is written under another name and renamed when all of it, of every
process, is on the disk. Three kinds::

    one process     optimizer.pt, rng_state.pth
    several, ddp    optimizer.pt, rng_state_<process>.pth
    ZeRO            global_step<step>/…, a shard of the optimizer per process, and latest; rng_state as above

These are torch's own files. Those of the store are compared with the hashes of its statement before they are loaded,
and all are read by torch's weights-only loader, DeepSpeed's too (``alma.engines.trl.loading``): whoever may write to
the store can state other weights, and runs no code by it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, Protocol

from alma.errors import ConfigError

KEPT = 2
NEEDED = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""Without the first three transformers resumes all the same, silently with a fresh optimizer: we never do."""

_ZERO_FOLDER = re.compile(r"global_step\d+/")
_ZERO_SHARD = re.compile(r"global_step\d+/(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_00_optim_states\.pt")
_ZERO_WEIGHTS = re.compile(r"global_step\d+/zero_pp_rank_(\d+)_mp_rank_00_model_states\.pt")
_RNG = re.compile(r"rng_state(?:_(\d+))?\.pth")

_STAGING = "writing"
_FETCHING = "fetching"


class Remote(Protocol):
    """Where checkpoints outlive this machine; ``alma.artifact.checkpoints`` is one in the artifact's store."""

    @property
    def sending(self) -> Path | None:
        """The folder that is on its way now, which must stay as it is."""

    def fetch(
        self, into: Path, newest_here: int, here: Path | None, problem: Callable[[Collection[str]], str | None]
    ) -> Path | None:
        """Fetches the newest whole checkpoint of a later step than ``newest_here`` (0: none), else ``None``.

        It comes as a folder of ``into`` named by its step. One with which ``problem``, given the names of its files,
        finds something wrong is not whole. Where the files of ``here``, this machine's own of the same step, are not
        those that it states, they are removed, and it comes in their place.
        """

    def send(self, step: int, folder: Path) -> None:
        """Begins to send a whole checkpoint, and returns at once; a newer one takes the place of one that waits."""

    def flush(self) -> str | None:
        """Waits until nothing is on its way; why the newest did not arrive, or ``None``."""

    def most_rows(self) -> int | None:
        """The most rows of a forward pass that each machine of a training has memory for; ``None``: nobody knows."""

    def set_most_rows(self, rows: int) -> None:
        """Says so to all of them, for their next attempt."""

    def say(self, message: str) -> None:
        """Tells a person."""


class Nowhere:
    """No other place: what this machine's scratch folder holds is all there is."""

    sending = None

    def fetch(
        self, into: Path, newest_here: int, here: Path | None, problem: Callable[[Collection[str]], str | None]
    ) -> None:
        """There is nothing to fetch."""

    def send(self, step: int, folder: Path) -> None:
        """Goes nowhere."""

    def flush(self) -> None:
        """Nothing is on its way."""

    def most_rows(self) -> None:
        """Nobody has said."""

    def set_most_rows(self, rows: int) -> None:
        """Nobody hears of it."""

    def say(self, message: str) -> None:
        """Nobody listens."""


NOWHERE = Nowhere()


class Layout(NamedTuple):
    """How the processes that wrote a checkpoint shared the training."""

    zero_stage: int
    num_devices: int

    @classmethod
    def of(cls, names: Collection[str]) -> Layout:
        """As the names of its files say; ``zero_stage`` 0 is an optimizer in one piece."""
        num_devices = max(sum(bool(_RNG.fullmatch(name)) for name in names), 1)
        if not any(_ZERO_FOLDER.match(name) for name in names):
            return cls(0, num_devices)
        return cls(3 if any(_ZERO_WEIGHTS.fullmatch(name) for name in names) else 2, num_devices)

    def __str__(self) -> str:
        return f"parallel = 'zero{self.zero_stage}' on {self.num_devices} devices"


def problem(names: Collection[str]) -> str | None:
    """What these files of a checkpoint lack for a training to be resumed from it exactly, or ``None``."""
    needed = list(NEEDED)
    layout = Layout.of(names)
    if layout.num_devices > 1 or "rng_state_0.pth" in names:
        needed.remove("rng_state.pth")
        needed += [f"rng_state_{each}.pth" for each in range(layout.num_devices)]
    missing = [name for name in needed if name not in names]
    if layout.zero_stage:
        missing = [name for name in missing if name != "optimizer.pt"]
        if "latest" not in names:
            missing.append("latest")
        for what, pattern in (("optimizer", _ZERO_SHARD), ("weights", _ZERO_WEIGHTS)):
            if what == "weights" and layout.zero_stage == 2:
                continue
            shards = {int(found[1]) for name in names if (found := pattern.fullmatch(name))}
            missing += [f"device {each}'s shard of the {what}" for each in {*range(layout.num_devices)} - shards]
    if not any(name.endswith(".safetensors") for name in names):
        missing.insert(0, "the weights (safetensors)")
    return f"lacks {', '.join(missing)}" if missing else None


def check_layout(checkpoint: Path, parallel: str, num_devices: int) -> None:
    """Raises ``ConfigError`` where these devices cannot go on from a checkpoint.

    One piece of an optimizer serves any number of devices; ZeRO's shards serve those that wrote them. To begin anew
    without being told to could throw days away.
    """
    written = Layout.of(_names(checkpoint))
    zero_stage = {"zero2": 2, "zero3": 3}.get(parallel, 0)
    if written.zero_stage != zero_stage or (zero_stage and written.num_devices != num_devices):
        with_what = str(written) if written.zero_stage else "parallel = 'none' or 'ddp'"
        raise ConfigError(
            f"{checkpoint} was written with {with_what} and cannot be resumed with parallel = '{parallel}' on "
            f"{num_devices}; set parallel and num_devices as they were, or remove the checkpoints to begin anew"
        )


def newest_whole(scratch: Path, remote: Remote) -> Path | None:
    """The newest whole checkpoint, here or fetched from ``remote`` into ``scratch``; ``None`` if there is none.

    What is not whole (weights alone, say) is removed, and said. One that is newer here than there is sent.
    """
    shutil.rmtree(scratch / _STAGING, ignore_errors=True)
    newest, here = 0, None
    for step, folder in _by_step(scratch):
        found = problem(_names(folder))
        if found:
            remote.say(f"the checkpoint of step {step} on this machine {found}: not used")
            shutil.rmtree(folder)
        else:
            newest, here = step, folder
    fetched = remote.fetch(scratch / _FETCHING, newest, here, problem)
    if fetched is not None:
        here = scratch / f"checkpoint-{fetched.name}"
        fetched.rename(here)
    elif here is not None and not here.exists():
        return newest_whole(scratch, remote)  # an older one, perhaps
    elif here is not None:
        remote.say(f"resumes the checkpoint of step {newest} on this machine")
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


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
