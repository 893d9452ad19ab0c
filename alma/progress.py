"""One report of progress; where it is shown is the caller's affair.

A stage calls ``advance``; events leave as plain dictionaries through one ``emit`` function: JSON lines on standard
error in a pod, the parent's progress bars on one machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Event = dict[str, Any]
Emit = Callable[[Event], None]

INTERVAL_SECONDS = 0.25


def silent(_: Event) -> None:
    """Shows nothing."""


def json_lines(event: Event, *, is_plain: bool = False) -> None:
    """One JSON object per line on standard error, as log collectors read them.

    ``is_plain``: nothing in it needs spelling out, so that people can read it too.
    """
    line = json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=not is_plain)
    print(line, file=sys.stderr, flush=True)  # noqa: T201


_hear: Emit = json_lines


def hear(emit: Emit) -> None:
    """Has ``tell`` reach ``emit`` from now on."""
    global _hear  # noqa: PLW0603 - what is told concerns this process: its store, its disk
    _hear = emit


def tell(message: str) -> None:
    """Reports a message for a person from where no stage's ``Out`` is at hand."""
    _hear({"event": "note", "message": message})


class Progress:
    """Counts work done against ``total`` and says the rate and the time left.

    ``done_before`` is work of earlier attempts: it counts as done and not towards the rate.
    """

    def __init__(self, emit: Emit, total: int, unit: str, done_before: int = 0) -> None:
        self._emit = emit
        self.total = total
        self.unit = unit
        self.done = self._before = done_before
        self.tokens = 0
        self._start = time.monotonic()
        self._shown = 0.0

    def advance(self, amount: int = 1, tokens: int = 0) -> None:
        """``amount`` more units are done, for ``tokens`` more tokens."""
        self.done += amount
        self.tokens += tokens
        now = time.monotonic()
        if now - self._shown >= INTERVAL_SECONDS or self.done >= self.total:
            self._shown = now
            self._emit(self.event())

    def event(self) -> Event:
        """The state now; ``per_second`` and ``left_seconds`` are ``None`` until there is a rate."""
        seconds = time.monotonic() - self._start
        fresh = self.done - self._before
        rate = fresh / seconds if fresh > 0 and seconds > 0 else None
        left = (self.total - self.done) / rate if rate else None
        return {
            "event": "progress",
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "tokens": self.tokens,
            "seconds": round(seconds, 2),
            "per_second": None if rate is None else round(rate, 2),
            "left_seconds": None if left is None else round(left, 1),
        }

    def __enter__(self) -> Self:
        self._emit(self.event())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._emit(self.event())
