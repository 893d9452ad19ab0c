"""Whether a model's weights fit into this machine's memory: looked at before they are read, for Linux kills who asks
for too much."""

from __future__ import annotations

import math
import re
from pathlib import Path

from alma.chat.find import Found
from alma.devices import count_gpus
from alma.engines.model_folder import weight_shapes
from alma.errors import ConfigError
from alma.sections.inference import Dtype

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
"""The memory of this machine; of the container, where it has a limit of its own."""


def check_fits(found: Found, dtype: Dtype) -> None:
    """Raises ``ConfigError`` where the weights need more memory than is free. On a GPU loading itself says so."""
    free = free_bytes()
    if count_gpus() or free is None:
        return
    dtype = "float32" if dtype == "auto" else dtype
    size = {"float32": 4, "bfloat16": 2}[dtype] * sum(map(math.prod, weight_shapes(found.folder).values()))
    if size > free:
        half = ", --dtype bfloat16 halves it" if dtype == "float32" else ""
        raise ConfigError(
            f"{found.name}: its weights take {size / 2**30:.1f} GiB as {dtype}, and {free / 2**30:.1f} GiB of memory "
            f"are free; talk with one model at a time{half}"
        )


def free_bytes() -> int | None:
    """Memory that may be taken: what the machine has left, or less where the container's limit is nearer.

    ``None`` where nothing says it (not Linux).
    """
    told = re.search(r"^MemAvailable:\s+(\d+) kB$", MEMINFO.read_text(), re.MULTILINE) if MEMINFO.exists() else None
    left = [int(told[1]) * 1024] if told else []
    limit, used = (GROUP / name for name in ("memory.max", "memory.current"))
    if limit.exists() and used.exists() and limit.read_text().strip().isdecimal():
        given_back = re.search(r"^inactive_file (\d+)$", (GROUP / "memory.stat").read_text(), re.MULTILINE)
        left.append(int(limit.read_text()) - int(used.read_text()) + (int(given_back[1]) if given_back else 0))
    return min(left, default=None)
