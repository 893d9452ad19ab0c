"""What several machines that train together agree on: where they meet, where they go on from, whose files are whose."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from alma.errors import Stopped, TransientError
from alma.nodes import Nodes

MEET_SECONDS = 1800
"""How long one machine waits for the others: a pod may wait that long for its node."""

CHUNK_BYTES = 2**26


def torchrun_options(nodes: Nodes, stopping: Callable[[], bool]) -> list[str]:
    """How torchrun finds the other machines; waits for the first one to listen, where this is another.

    Raises ``TransientError`` where it does not in time, ``Stopped`` when it is asked to stop.
    """
    if nodes.count == 1:
        return ["--standalone"]
    deadline = time.monotonic() + MEET_SECONDS
    while nodes.helps and not nodes.is_met():
        if stopping():
            raise Stopped("stopped as asked while it waited for the first machine of the training")
        if time.monotonic() > deadline:
            raise TransientError(f"the first machine of the training did not listen at {nodes.rendezvous} in time")
        time.sleep(0.5)
    conf = f"is_host={int(not nodes.helps)},join_timeout={MEET_SECONDS}"
    where = ["--rdzv-backend=c10d", f"--rdzv-endpoint={nodes.rendezvous}", "--rdzv-id=alma", f"--rdzv-conf={conf}"]
    return [f"--nnodes={nodes.count}", f"--node-rank={nodes.rank}", *where]


def take_rank(nodes: Nodes) -> None:
    """Counts the processes by machine: the rendezvous deals ranks out by host name, and the first is to publish."""
    if nodes.count > 1:
        first = nodes.rank * int(os.environ["LOCAL_WORLD_SIZE"])
        os.environ["RANK"] = str(first + int(os.environ["LOCAL_RANK"]))
        os.environ["GROUP_RANK"] = str(nodes.rank)


def check_alike(step: int, micro_batch_rows: int, device: Any) -> None:
    """Raises ``TransientError`` where the machines would go on from different checkpoints, or by different passes."""
    mine = torch.tensor([step, micro_batch_rows], device=device, dtype=torch.int64)
    each_D = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(each_D, mine)
    steps, rows = (sorted(set(found)) for found in zip(*(each.tolist() for each in each_D), strict=True))
    if len(steps) > 1:
        raise TransientError(
            f"the machines would go on from the checkpoints of steps {steps}, since the newest was sent meanwhile; "
            "begun again they find the same one"
        )
    if len(rows) > 1:
        raise TransientError(
            f"the machines would go on with micro_batch_rows = {rows}, since one ran out of memory meanwhile; begun "
            "again they find the same one"
        )


def bring_together(folder: Path, device: Any) -> None:
    """Moves what the processes of other machines wrote below ``folder`` to the machine of the first process."""
    rank = dist.get_rank()
    sends = os.environ["LOCAL_RANK"] == "0" and rank > 0
    mine = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in _files(folder)] if sends else []
    told: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(told, mine)
    for sender, files in enumerate(told):
        for name, size in files:
            if rank == sender:
                _send(folder / name, size, device)
            elif rank == 0:
                _receive(folder / name, size, sender, device)
    dist.barrier()
    if sends:
        shutil.rmtree(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _send(path: Path, size: int, device: Any) -> None:
    with path.open("rb") as file:
        for start in range(0, size, CHUNK_BYTES):
            chunk = bytearray(file.read(min(CHUNK_BYTES, size - start)))
            dist.send(torch.frombuffer(chunk, dtype=torch.uint8).to(device), dst=0)


def _receive(path: Path, size: int, sender: int, device: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, CHUNK_BYTES):
            chunk = torch.empty(min(CHUNK_BYTES, size - start), dtype=torch.uint8, device=device)
            dist.recv(chunk, src=sender)
            file.write(chunk.cpu().numpy().tobytes())
