"""How far a run is: its steps counted, its rounds, and the time that is left at their pace. Plain arithmetic.

Whoever watches a run makes ``Step``s of what it sees, the store's journal or a cluster's tasks, and counts them here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

OVER = frozenset({"sealed", "succeeded", "skipped"})
"""States in which nothing is left to do."""

FEEDBACK = 2
"""The first round of feedback: round 00 looks at the base model and round 01 at the initial checkpoints."""

BETWEEN = " · "
"""Between a layer's name and a step's in a label."""


@dataclass(frozen=True)
class Step:
    """One step of a run as it stands."""

    label: str
    """Such as "round 03 · respond"."""

    state: str
    """waiting, pending (its pod is not there yet), running, silent (it should have said something by now), published
    (some shards are done), sealed, succeeded, skipped, failed, stopped or canceled."""

    start: float | None = None
    """Unix seconds."""

    end: float | None = None
    share: float = 0.0
    """How much of it is done, 0 to 1."""

    amount: str = ""
    """The same for a person: "1,200/4,800 responses"."""

    rate: str = ""
    """Such as "7.5/s, 600 tokens/s"."""

    left_seconds: float | None = None
    error: str = ""
    """Why it failed or stopped."""

    @property
    def over(self) -> bool:
        """Nothing is left to do."""
        return self.state in OVER

    @property
    def layer(self) -> str:
        """The part of the run it belongs to: "round 03"; empty for what comes from outside."""
        return self.label.rpartition(BETWEEN)[0]

    @property
    def round(self) -> int | None:
        """The round it belongs to, by its label: "round 03 · respond" is 3."""
        found = re.match(r"round (\d{1,9})\b", self.label)
        return int(found[1]) if found else None

    def seconds(self, now: float) -> float | None:
        """How long it has taken so far."""
        return None if self.start is None else (self.end or now) - self.start


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    rounds_done: int
    rounds: int
    """Of feedback; 0 for a method that has none."""

    steps_done: int
    steps: int
    percent: int
    """Of the steps, a step that runs by its own count; 100 only when all are done."""

    layer: str
    """Where the work is: "round 03"; empty before it begins."""

    left_seconds: float | None
    """At the pace so far; ``None`` while that is not known."""

    def __str__(self) -> str:
        """For a person: "1 of 5 rounds, 20 of 51 steps, 41%"."""
        rounds = f"{self.rounds_done} of {self.rounds} rounds, " if self.rounds else ""
        return f"{rounds}{self.steps_done} of {self.steps} steps, {self.percent}%"


def progress(steps: Sequence[Step], now: float) -> Progress:
    """Counts ``steps``, all there are of a run. ``now`` is in Unix seconds."""
    by_round: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        if step.round is not None and step.round >= FEEDBACK:
            by_round[step.round].append(step)
    done = [number for number, members in by_round.items() if all(step.over for step in members)]
    over = sum(step.over for step in steps)
    share = sum(1.0 if step.over else step.share for step in steps) / max(1, len(steps))
    begun = [step for step in steps if step.start is not None]
    at = max(begun, key=lambda step: (not step.over, step.start or 0.0), default=None)
    left = _by_rounds(by_round, len(done), now) if by_round else _by_names(steps, now)
    return Progress(
        rounds_done=len(done),
        rounds=len(by_round),
        steps_done=over,
        steps=len(steps),
        percent=100 if steps and over == len(steps) else min(99, int(100 * share)),
        layer=(at.layer or at.label) if at else "",
        left_seconds=left,
    )


def _by_rounds(by_round: dict[int, list[Step]], done: int, now: float) -> float | None:
    """Known once two rounds have begun: the rounds that are left take as long as the last whole one."""
    begun = {
        number: min(starts)
        for number, members in sorted(by_round.items())
        if (starts := [step.start for step in members if step.start is not None])
    }
    if len(begun) < 2 or done == len(by_round):
        return None
    before, last = sorted(begun)[-2:]
    taken = now - begun[last]
    pace = max(taken, begun[last] - begun[before])  # rounds that were sealed already take seconds
    return pace * (1 + max(by_round) - last) - taken


def _by_names(steps: Sequence[Step], now: float) -> float | None:
    """Known once every kind of step that is left was done once: it takes as long as its kind did at the longest."""
    took: dict[str, float] = {}
    for step in steps:
        if step.over and step.start is not None and step.end is not None:
            name = step.label.rpartition(BETWEEN)[2]
            took[name] = max(took.get(name, 0.0), step.end - step.start)
    waiting = [(step, took.get(step.label.rpartition(BETWEEN)[2])) for step in steps if not step.over]
    if not waiting or any(seconds is None for _, seconds in waiting):
        return None
    return sum(max(0.0, (seconds or 0.0) - (step.seconds(now) or 0.0)) for step, seconds in waiting)
