"""A stage's parts dealt out to several processes, and the one that seals what they left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from alma.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th part of an artifact, from part ``index`` on: what one of several pods computes.

    The layout of the parts does not depend on it, so another number of shards goes on from what these published.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads ``INDEX/COUNT`` (INDEX from 0), ``seal``, or ``all``, which is ``None``. Raises ``ConfigError``."""
        if text == "all":
            return None
        if text == "seal":
            return cls(0, 0)
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and index.isascii() and count.isascii()):
            raise ConfigError(f"shard {text!r} is not INDEX/COUNT such as 0/8, nor seal, nor all")
        if int(index) >= int(count):
            raise ConfigError(f"shard {text!r}: there are 0/{int(count)} to {int(count) - 1}/{int(count)}")
        return cls(int(index), int(count))

    @property
    def seals(self) -> bool:
        """Whether this one computes nothing, and seals what the others left."""
        return self.count == 0

    def holds(self, part: int) -> bool:
        """Whether part number ``part`` is of this shard."""
        return self.seals or part % self.count == self.index

    def __str__(self) -> str:
        return "seal" if self.seals else f"{self.index}-of-{self.count}"


SEAL = Shard(0, 0)


class ShardDone(Exception):  # noqa: N818 - no error: as StopIteration ends a loop, it ends a stage
    """A shard's parts are published: ``rows`` rows of them. The artifact is not sealed by it."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows
