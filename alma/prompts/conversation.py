"""Conversations: what was said before a prompt, and both as one text.

A row's ``prompt`` is the last thing that the user said. Its column ``earlier`` holds the turns before that, null where
there are none. A single prompt is its own text everywhere; a conversation is written out where a text of the whole is
wanted: for a judge or a classifier, for a seed, where rows are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


def messages(earlier: Iterable[Mapping[str, Any]] | None) -> tuple[Message, ...]:
    """The turns that a row's column ``earlier`` holds; none where it is null."""
    return tuple(Message(turn["role"], turn["content"]) for turn in earlier or ())


def column(earlier: Sequence[Message]) -> list[dict[str, str]] | None:
    """Turns as the column ``earlier`` holds them."""
    return [{"role": turn.role, "content": turn.content} for turn in earlier] or None


def exchanges(pairs: Iterable[tuple[str, str]]) -> tuple[Message, ...]:
    """Prompts with their answers as turns."""
    return tuple(turn for asked, answered in pairs for turn in (Message("user", asked), Message("assistant", answered)))


def conversation(prompt: str, earlier: Sequence[Message] = ()) -> str:
    """``prompt`` with all that was said before it as plain text, each turn behind its role; alone, just ``prompt``.

    Who speaks is what stands before a text: a text that spells ``User:`` itself can be told from a turn by nobody.
    """
    if not earlier:
        return prompt
    return "\n\n".join(f"{role.capitalize()}: {content}" for role, content in (*earlier, Message("user", prompt)))


def asked_text(row: Mapping[str, Any]) -> str:
    """``conversation`` of a row with ``prompt`` and, if it has that, ``earlier``: what a judge is shown of it."""
    return conversation(row["prompt"], messages(row.get("earlier")))


def spoken(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """All turns of a row with ``prompt`` and ``response``, the response the last of them."""
    return (*messages(row.get("earlier")), Message("user", row["prompt"]), Message("assistant", row["response"]))


def first_exchange(row: Mapping[str, Any]) -> tuple[str, str]:
    """The first thing that a row with ``response`` asks, and its answer: nothing has to be said before them."""
    spoken = [turn.content for turn in messages(row.get("earlier")) if turn.role != "system"]
    asked_first, answered, *_ = (*spoken, row["prompt"], row["response"])
    return asked_first, answered


def questions(row: Mapping[str, Any]) -> list[str]:
    """All that a row asks, each thing as ``conversation`` with what was said before it; the last is its prompt.

    System turns are left out: the same one stands before many rows, which are compared by what people said.
    """
    spoken = [turn for turn in messages(row.get("earlier")) if turn.role != "system"]
    spoken.append(Message("user", row["prompt"]))
    return [conversation(turn.content, spoken[:place]) for place, turn in enumerate(spoken) if turn.role == "user"]


def user_side(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """All that a row's user and system say: rows that have it in common are answers to the same."""
    turns = (*messages(row.get("earlier")), Message("user", row["prompt"]))
    return tuple(turn for turn in turns if turn.role != "assistant")


def lacks_answer(earlier: Sequence[Message]) -> bool:
    """Whether a user's turn is followed by another of the user's, the prompt being the last: the model answers it."""
    return any(one.role == "user" == two.role for one, two in pairwise((*earlier, Message("user", ""))))


def who_speaks(earlier: Sequence[Message]) -> tuple[Role, ...]:
    """The roles of all turns up to the prompt, with those of the answers that are not there yet."""
    roles: list[Role] = []
    for turn in (*earlier, Message("user", "")):
        roles += ["assistant", turn.role] if [*roles[-1:], turn.role] == ["user", "user"] else [turn.role]
    return tuple(roles)
