"""What was proven of the model before it was used, and what is done where something does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from alma.page.figure import Table
from alma.page.numbers import Point
from alma.text.visible import visible

COLUMNS = ("tried on a miniature of the model", "largest difference", "done instead")


def proven(points: Sequence[Point]) -> tuple[tuple[str, Table], ...]:
    """A titled table of the latest proof; nothing where no point has one."""
    proofs = [point.proof for point in points if point.proof is not None]
    if not proofs:
        return ()
    rows = tuple((each.check, found(each.differs, each.problem), each.chosen or "–") for each in proofs[-1].checks)
    return ((f"What was proven of the model ({visible(proofs[-1].model_type)})", Table(COLUMNS, rows)),)


def found(differs: float | None, problem: str) -> str:
    """A difference of a log-probability in words."""
    if differs is None:
        return visible(problem)
    return f"{differs:g} nats" if differs else "none"
