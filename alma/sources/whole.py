"""Reads a row's conversation whole: the last prompt, its answer, and all turns before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alma.prompts.conversation import Message
from alma.sources.exchange import ONE, check_alternate, read_turns, spoken
from alma.sources.paths import Found
from alma.sources.turns import Turn, listed
from alma.sources.values import Fault, text


@dataclass(frozen=True, slots=True)
class Whole:
    """``system`` is empty without a system turn; ``turns`` are those behind it, the last one the prompt."""

    system: str
    turns: list[Turn]
    answer: Any
    column: str

    def messages(self) -> tuple[Message, ...]:
        """The turns, checked to be texts, the prompt with them."""
        return tuple(
            Message("user" if turn.role == "user" else "assistant", text(_name(turn), turn.text)) for turn in self.turns
        )


def read_whole(prompt: Found, answer: Found | None, *, is_answered: bool) -> Whole:
    """The conversation that ``prompt`` or ``answer`` is, or both are.

    The answer is its last turn, or what stands beside it. Where rows are only asked (not ``is_answered``) the
    conversation ends with the user, unless the answer is mapped to it too; the user may then speak twice in a row,
    and what lies between is for the model to answer. Raises ``Fault`` for one that ends in the wrong role, or in which
    it is unclear who answers whom.
    """
    for side in (prompt, answer):
        if side is not None and side.turns is not None and len(side.turns) > 1:
            detail = f'{side.path!r} is one turn of {side.column!r}, and turns = "all" reads all of them'
            raise Fault("a place in a conversation", f"{detail}; map {side.column!r} itself")
    asked = _listed(prompt)
    answered = None if answer is None else _listed(answer)
    if answer is None or answered is None:
        return _answer_beside(asked or [], prompt.path, answer, is_answered=is_answered)
    system, turns = spoken(_joined(prompt, asked, answer, answered), answer.path)
    check_alternate(turns, answer.path, ONE, may_lack_answers=not is_answered)
    last = turns.pop()
    if last.role == "user":
        detail = f"{answer.path!r} ends with the user (turn {last.number}), whose answer is not there"
        raise Fault("ends with the user", f"{detail}; leave that turn out, or bring its answer")
    return Whole(system, turns, last.text, answer.path)


def _answer_beside(asked: list[Turn], column: str, answer: Found | None, *, is_answered: bool) -> Whole:
    system, turns = spoken(asked, column)
    check_alternate(turns, column, ONE, may_lack_answers=not is_answered)
    value, last = None if answer is None else answer.value, turns[-1]
    if last.role == "assistant" and is_answered:
        if not _is_same(last.text, value):
            raise Fault("two answers", f"{column!r} ends with an answer, and the response beside it is another text")
        turns.pop()
    elif last.role == "assistant":
        detail = f"{column!r} ends with the assistant (turn {last.number}), and a prompt is the user's"
        raise Fault("ends with the assistant", f"{detail}; leave that turn out, or map reference to {column!r} too")
    return Whole(system, turns, value, column)


def _joined(prompt: Found, asked: list[Turn] | None, answer: Found, answered: list[Turn]) -> list[Turn]:
    """All turns: ``answered`` goes on behind ``asked``, or repeats it first."""
    if prompt.path == answer.path:
        return answered
    if answered[0].role == "assistant":
        return [*(asked or [Turn(0, "user", prompt.value)]), *answered]
    ours, theirs = ([turn for turn in turns if turn.role != "system"] for turns in (asked or [], answered))
    if asked is None:
        users = [turn.text for turn in theirs if turn.role == "user"]
        same = any(_is_same(each, prompt.value) for each in (users[:1] + users[-1:]))
    else:
        same = len(ours) < len(theirs) and all(
            one.role == other.role and _is_same(one.text, other.text) for one, other in zip(ours, theirs, strict=False)
        )
    if not same:
        detail = f"the user's turns in {answer.path!r} are other texts than {prompt.path!r}"
        raise Fault("two prompts", detail)
    system = [turn for turn in asked or [] if turn.role == "system"]
    return answered if answered[0].role == "system" else [*system, *answered]


def _listed(found: Found) -> list[Turn] | None:
    turns = listed(found.value)
    return None if turns is None else read_turns(turns, found.path)


def _name(turn: Turn) -> str:
    return f"turn {turn.number}" if turn.number else "prompt"


def _is_same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, str) and isinstance(other, str) and one.strip() == other.strip())
