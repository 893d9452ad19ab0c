"""The GPUs that a run is planned for, as the user states them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from alma.errors import ConfigError

KEPT_FREE = 0.1
"""Share of a GPU that nothing is planned into: CUDA's context, NCCL's buffers, fragmentation. A margin [ours]."""

UNITS = {"GB": 10**9, "GiB": 2**30, "MiB": 2**20, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class Machine:
    """Equal machines of equal GPUs."""

    gpu_bytes: float
    gpus: int = 1
    """Of one machine, or of one pod."""

    nodes: int = 1
    """Machines that train one model together."""

    @property
    def room(self) -> float:
        """Bytes of a GPU that can be planned with, where no engine takes its own share."""
        return (1 - KEPT_FREE) * self.gpu_bytes

    @classmethod
    def of(cls, *, gpu_memory: str | None, gpus: int, nodes: int) -> Self | None:
        """From the command line; ``None`` where no memory is stated. Raises ``ConfigError``."""
        if gpu_memory is None:
            if gpus > 1 or nodes > 1:
                raise ConfigError("--gpus and --nodes go with --gpu-memory, the memory of one GPU, such as 80GiB")
            return None
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]+)", gpu_memory.strip(), re.ASCII)
        if found is None or found[2] not in UNITS or float(found[1]) <= 0:
            raise ConfigError(
                f"--gpu-memory {gpu_memory[:60]!r}: write the memory of one GPU as 80GiB; units: {', '.join(UNITS)}"
            )
        return cls(float(found[1]) * UNITS[found[2]], gpus, nodes)
