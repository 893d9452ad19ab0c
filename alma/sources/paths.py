"""Follows a dotted path into a row, and remembers the conversation that it leads through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alma.sources.turns import TEXT_KEYS, listed

MOST_DIGITS = 18
"""Of a place in a list."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and the path of it.

    Where the path leads into a conversation by place (``messages.0.content``), ``turns`` is that conversation,
    ``column`` its path, and ``place`` counts from 0.
    """

    path: str
    value: Any
    turns: list[Any] | None = None
    column: str = ""
    place: int = 0


def find(values: Mapping[str, Any], path: str) -> Found | None:
    """What stands at ``path``; a column whose own name has the dots takes precedence. ``None`` where nothing is."""
    if path in values:
        turn = listed(values) if path in TEXT_KEYS else None  # a table with a turn in each row
        return Found(path, values[path], turn)
    here: Any = values
    turns: list[Any] | None = None
    column, place = "", 0
    parts = path.split(".")
    for depth, part in enumerate(parts):
        whole = listed(here) if depth and turns is None else None
        if isinstance(here, Mapping) and part in here:
            if whole is not None and not isinstance(here[part], list):  # a single turn
                turns, column, place = whole, ".".join(parts[:depth]), 0
            elif whole is not None and parts[depth + 1 : depth + 2] and _is_place(parts[depth + 1]):
                turns, column, place = whole, ".".join(parts[:depth]), int(parts[depth + 1])
            here = here[part]
        elif isinstance(here, list) and _is_place(part) and int(part) < len(here):
            if whole is not None:
                turns, column, place = whole, ".".join(parts[:depth]), int(part)
            here = here[int(part)]
        else:
            return None
    return Found(path, here, turns, column, place)


def by_place(path: str) -> bool:
    """Whether ``path`` points into a list."""
    return any(_is_place(part) for part in path.split("."))


def _is_place(part: str) -> bool:
    """Whether ``part`` counts items. "²" is a digit and no number, and of 5,000 digits Python makes none."""
    return part.isdecimal() and part.isascii() and len(part) <= MOST_DIGITS
