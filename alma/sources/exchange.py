"""What of a conversation is a row: its first exchange, or all that is spoken in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from alma.sources.turns import Turn, read_turn
from alma.sources.values import Fault, characters

ONE = "make them one"
"""What to do about two turns of one role in a row."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """``system`` is empty without a system turn, ``answer`` ``None`` where the conversation ends before it."""

    system: str
    user: Turn
    answer: Turn | None
    num_later: int  # turns behind it


def read_turns(listed: list[Any], column: str) -> list[Turn]:
    """All turns of a conversation, each with its role. Raises ``Fault`` as ``read_turn`` does, and for none at all."""
    if not listed:
        raise Fault("no turn", f"{column!r} holds no turn")
    return [read_turn(each, number, column) for number, each in enumerate(listed, start=1)]


def first_exchange(turns: list[Turn], column: str, remedy: str = ONE) -> Exchange:
    """The first exchange, which alone needs nothing that was said before it.

    Raises ``Fault`` for a conversation in which it is unclear who answers whom: as ``spoken`` does, and for a role
    twice in a row, whose ``remedy`` it says.
    """
    system, turns = spoken(turns, column)
    check_alternate(turns, column, remedy)
    answer = turns[1] if len(turns) > 1 else None
    return Exchange(system, turns[0], answer, len(turns[2:]))


def spoken(turns: list[Turn], column: str) -> tuple[str, list[Turn]]:
    """The text of the system turns that stand first, and what user and assistant say behind them.

    Raises ``Fault`` for the assistant first, a system turn in the midst, tools.
    """
    system = list(takewhile(lambda turn: turn.role == "system", turns))
    others = turns[len(system) :]
    tool = next((turn for turn in others if turn.role == "tool"), None)
    if tool is not None:
        raise Fault("tool turn", f"turn {tool.number} of {column!r} is a tool's or calls one; rows are of text alone")
    late = next((turn for turn in others if turn.role == "system"), None)
    if late is not None:
        raise Fault("late system turn", f"turn {late.number} of {column!r} is a system turn behind the first turns")
    if not others:
        raise Fault("no user turn", f"{column!r} has no turn of a user")
    if others[0].role != "user":
        detail = f"{column!r} starts with the assistant (turn {others[0].number}), and what it answers is not there"
        raise Fault("starts with the assistant", detail)
    instructions = [characters("the system turn", turn.text) for turn in system if turn.text is not None]
    return "\n\n".join(filter(str.strip, instructions)), others


def check_alternate(turns: list[Turn], column: str, remedy: str = ONE, *, may_lack_answers: bool = False) -> None:
    """Raises ``Fault`` for two turns of one role in a row; of the user's they ``may_lack_answers`` between them."""
    for one, two in pairwise(turns):
        if one.role == two.role and not (may_lack_answers and one.role == "user"):
            detail = f"turns {one.number} and {two.number} of {column!r} are both the {one.role}'s; {remedy}"
            raise Fault(f"two {one.role} turns in a row", detail)
