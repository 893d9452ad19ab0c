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


def asked(row: Mapping[str, Any]) -> str:
    """``conversation`` of a row with ``prompt`` and, if it has that, ``earlier``: what a judge is shown of it."""
    return conversation(row["prompt"], messages(row.get("earlier")))


def is_single(row: Mapping[str, Any]) -> bool:
    """Whether nothing but a system turn stands before a row's prompt, so that it can be understood alone."""
    return all(turn.role == "system" for turn in messages(row.get("earlier")))


def questions(row: Mapping[str, Any]) -> list[str]:
    """All that a row asks, each thing as ``conversation`` with what was said before it; the last is its prompt.

    System turns are left out: the same one stands before many rows, which are compared by what people said.
    """
    spoken = [turn for turn in messages(row.get("earlier")) if turn.role != "system"]
    spoken.append(Message("user", row["prompt"]))
    return [conversation(turn.content, spoken[:place]) for place, turn in enumerate(spoken) if turn.role == "user"]


def lacks_answer(earlier: Sequence[Message]) -> bool:
    """Whether a user's turn is followed by another of the user's, the prompt being the last: the model answers it."""
    return any(one.role == "user" == two.role for one, two in pairwise((*earlier, Message("user", ""))))
