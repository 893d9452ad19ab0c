"""Shards: a stage's parts, divided among several processes, and the process that seals them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from alma.errors import ConfigError

MOST_CHARS = 40
"""Of a shard as it is written: Python makes no number of 5,000 digits."""


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th part of an artifact, from part ``index`` on: what one of several pods computes.

    The layout of the parts does not depend on it, so a run with another number of shards resumes from these parts.
    All shards that run at once have one ``part_rows``.
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
        if len(text) > MOST_CHARS or not (
            index.isdecimal() and count.isdecimal() and index.isascii() and count.isascii()
        ):
            raise ConfigError(f"shard {text!r} is not INDEX/COUNT; write 0/8, seal or all")
        if int(index) >= int(count):
            raise ConfigError(f"shard {text!r}: there are 0/{int(count)} to {int(count) - 1}/{int(count)}")
        return cls(int(index), int(count))

    @property
    def seals(self) -> bool:
        """Whether this process computes nothing and seals what the shards published."""
        return self.count == 0

    def holds(self, part: int) -> bool:
        """Whether part number ``part`` belongs to this shard."""
        return self.seals or part % self.count == self.index

    def __str__(self) -> str:
        return "seal" if self.seals else f"{self.index}-of-{self.count}"


SEAL = Shard(0, 0)


class ShardDone(Exception):  # noqa: N818 - not an error: it ends a stage as StopIteration ends a loop
    """All parts of a shard are published, ``rows`` rows; the artifact is not sealed yet."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows
