"""The machines that one training runs on, as the environment of its pods says; elsewhere it is one."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Self

from alma.errors import ConfigError

COUNT, RANK, RENDEZVOUS = "ALMA_NODES", "ALMA_NODE_RANK", "ALMA_RENDEZVOUS"
"""How many machines, which of them this one is (from 0), and HOST:PORT where the first one is reached."""


@dataclass(frozen=True)
class Nodes:
    """The machines of a training. The first publishes what is made; the others help and end with it."""

    count: int = 1
    rank: int = 0
    rendezvous: str = ""

    @classmethod
    def here(cls) -> Self:
        """As the environment says. Raises ``ConfigError`` for half of it, or what cannot be."""
        given = {name: os.environ.get(name, "") for name in (COUNT, RANK, RENDEZVOUS)}
        if not given[COUNT] or given[COUNT] == "1":
            return cls()
        said = " ".join(f"{name}={value!r}" for name, value in given.items())
        if not (given[COUNT].isdecimal() and given[RANK].isdecimal() and int(given[RANK]) < int(given[COUNT])):
            raise ConfigError(f"{said}: {RANK} counts machines from 0 and {COUNT} says how many there are")
        if not re.fullmatch(r"[A-Za-z0-9.-]+:\d{1,5}", given[RENDEZVOUS]):
            raise ConfigError(f"{said}: {RENDEZVOUS} is HOST:PORT of the first machine")
        return cls(int(given[COUNT]), int(given[RANK]), given[RENDEZVOUS])

    @property
    def helps(self) -> bool:
        """Whether another machine publishes what is made here."""
        return self.rank > 0

    @property
    def shard(self) -> str | None:
        """What tells this machine's scratch files and journal from the first one's; ``None`` of the first."""
        return f"node-{self.rank}" if self.helps else None

    def is_met(self) -> bool:
        """Whether the first machine listens at the rendezvous now."""
        host, _, port = self.rendezvous.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5):
                return True
        except OSError:
            return False
