"""The exchange of a conversation that is a row: the first thing a user said, and the assistant's answer to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from alma.sources.turns import Turn, read_turn
from alma.sources.values import Fault, characters


@dataclass(frozen=True, slots=True)
class Exchange:
    """``system`` is empty without a system turn, ``answer`` ``None`` where the conversation ends before it."""

    system: str
    user: Turn
    answer: Turn | None
    num_later: int  # turns behind it


def read_turns(listed: list[Any], column: str) -> list[Turn]:
    """All turns of a conversation, each with its role. Raises ``Fault`` as ``read_turn`` does."""
    return [read_turn(each, number, column) for number, each in enumerate(listed, start=1)]


def first_exchange(turns: list[Turn], column: str) -> Exchange:
    """The first exchange, which alone needs nothing that was said before it.

    Raises ``Fault`` for a conversation in which it is unclear who answers whom: the assistant first, a role twice in a
    row, a system turn in the midst, tools.
    """
    system = list(takewhile(lambda turn: turn.role == "system", turns))
    spoken = turns[len(system) :]
    tool = next((turn for turn in spoken if turn.role == "tool"), None)
    if tool is not None:
        raise Fault("tool turn", f"turn {tool.number} of {column!r} is a tool's or calls one; rows are of text alone")
    late = next((turn for turn in spoken if turn.role == "system"), None)
    if late is not None:
        raise Fault("late system turn", f"turn {late.number} of {column!r} is a system turn behind the first turns")
    if not spoken:
        raise Fault("no user turn", f"{column!r} has no turn of a user")
    if spoken[0].role != "user":
        detail = f"{column!r} starts with the assistant (turn {spoken[0].number}), and what it answers is not there"
        raise Fault("starts with the assistant", detail)
    for one, two in pairwise(spoken):
        if one.role == two.role:
            detail = f"turns {one.number} and {two.number} of {column!r} are both the {one.role}'s; make them one"
            raise Fault(f"two {one.role} turns in a row", detail)
    instructions = [characters("the system turn", turn.text) for turn in system if turn.text is not None]
    answer = spoken[1] if len(spoken) > 1 else None
    return Exchange("\n\n".join(filter(str.strip, instructions)), spoken[0], answer, len(spoken[2:]))
