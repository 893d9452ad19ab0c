"""Conversations in a row: turns of a role and a text, in OpenAI's form (role, content) or ShareGPT's (from, value)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from alma.sources.row import shown
from alma.sources.values import Fault

Role = Literal["system", "user", "assistant", "tool"]

CALLED: Final[dict[Role, tuple[str, ...]]] = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "model", "bot", "ai", "chatbot", "chatgpt", "bing", "bard", "claude"),
    "tool": ("tool", "function", "function_call", "tool_call", "tool_response", "observation", "ipython"),
}
"""What data sets call the roles, in any case; prompter is OpenAssistant's."""

_ROLES: Final[dict[str, Role]] = {name: role for role, names in CALLED.items() for name in names}
_ROLE_KEYS: Final = ("role", "from")
_NAME_KEYS: Final = ("speaker", "author")  # a role only where they hold one: they may name a person
TEXT_KEYS: Final = ("content", "value", "text")
_CALLS: Final = ("tool_calls", "function_call")
_SPELT = re.compile(r"\s*\[\s*\{.*\}\s*\]\s*", re.DOTALL)
_SPELT_ROLE = re.compile(rf"""(['"])(?:role|from)\1\s*:\s*(['"])(?:{"|".join(_ROLES)})\2""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn; ``number`` counts from 1, ``text`` is what stands there, of whatever type."""

    number: int
    role: Role
    text: Any


def listed(value: Any) -> list[Any] | None:
    """The turns of a conversation as they stand, ``None`` where ``value`` is none.

    A conversation is a list of turns (or of pairs of a role and a text), a list of roles beside one of texts (a nested
    column of some Parquet files), or a single turn.
    """
    if isinstance(value, list):
        if value and all(isinstance(each, list) and len(each) == 2 and _known(each[0]) for each in value):
            return [{"role": role, "content": text} for role, text in value]
        return value if any(_has_role(each) for each in value) else None
    if not _has_role(value) or not any(key in value for key in TEXT_KEYS):
        return None
    columns = {name: each for name, each in value.items() if isinstance(each, list)}
    if not any(name in columns for name in _ROLE_KEYS):
        return [value] if any(_known(value.get(key)) for key in (*_ROLE_KEYS, *_NAME_KEYS)) else None
    length = max(map(len, columns.values()))
    return [{name: each[i] for name, each in columns.items() if i < len(each)} for i in range(length)]


def is_without_roles(value: Any) -> bool:
    """Whether ``value`` looks like a conversation whose turns do not say who speaks."""
    whole = isinstance(value, list) and bool(value) and listed(value) is None
    return whole and all(isinstance(each, Mapping) and any(key in each for key in TEXT_KEYS) for each in value)


def is_spelt(value: Any) -> bool:
    """Whether ``value`` is a text that spells a whole conversation, as JSON or as Python prints it."""
    return isinstance(value, str) and bool(_SPELT.fullmatch(value)) and bool(_SPELT_ROLE.search(value))


def read_turn(turn: Any, number: int, column: str) -> Turn:
    """A turn with its role. Raises ``Fault`` where the role is missing or unknown, or its text is not one text."""
    role = role_of(turn, number, column)
    if role is None:
        raise Fault("turn without role", f"turn {number} of {column!r} has no role: {shown(turn)}")
    if role == "tool":
        return Turn(number, role, None)
    text = next((turn[key] for key in TEXT_KEYS if turn.get(key) is not None), None)
    if isinstance(text, list):  # OpenAI's parts: texts, pictures, sounds
        if len(text) != 1 or not isinstance(text[0], Mapping) or not isinstance(text[0].get("text"), str):
            detail = f"turn {number} of {column!r} has {len(text)} parts, and not one of text: {shown(text)}"
            raise Fault("turn of several parts", detail)
        text = text[0]["text"]
    return Turn(number, role, text)


def role_of(turn: Any, number: int, column: str) -> Role | None:
    """The role of ``turn``, ``None`` where it says none. Raises ``Fault`` where it says two, or one that is unknown.

    A turn of the assistant that calls a tool counts as a tool's.
    """
    if not isinstance(turn, Mapping):
        raise Fault("no turn", f"turn {number} of {column!r} is {shown(turn)}, and not a role and a text")
    said = [turn[key] for key in _ROLE_KEYS if turn.get(key) is not None]
    said = said or [turn[key] for key in _NAME_KEYS if _known(turn.get(key)) is not None]
    roles = {_known(each) for each in said}
    if None in roles:
        known = " or ".join(", ".join(CALLED[role]) for role in ("user", "assistant"))
        raise Fault("unknown role", f"turn {number} of {column!r} has the role {shown(said[0])}; known are {known}")
    if len(roles) > 1:
        raise Fault("two roles", f"turn {number} of {column!r} has two roles: {', '.join(map(shown, said))}")
    role = roles.pop() if roles else None
    return "tool" if role and any(turn.get(key) for key in _CALLS) else role


def _known(role: Any) -> Role | None:
    return _ROLES.get(role.strip().lower()) if isinstance(role, str) else None


def _has_role(turn: Any) -> bool:
    return isinstance(turn, Mapping) and (
        any(key in turn for key in _ROLE_KEYS) or any(_known(turn.get(key)) is not None for key in _NAME_KEYS)
    )
