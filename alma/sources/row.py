"""A row that was read, or one that cannot be used, with its line number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``line`` counts from 1 (in Parquet: rows)."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """An unusable row: the kind of fault, a sentence about it with the value, and the row as it was read."""

    line: int
    reason: str
    detail: str
    raw: Any


def on_one_line(name: str) -> str:
    """A file's name for an error message, whose lines are ours; other control characters are spelled at the end."""
    return name.replace("\n", "\\n")


def shown(value: object, most: int = 60) -> str:
    """``value`` for an error message: escaped, and cut where it is long."""
    text = repr(value[:most]) if isinstance(value, str | bytes) else repr(value)
    cut = len(value) > most if isinstance(value, str | bytes) else len(text) > most
    return f"{text[: most + 2]}…" if cut else text
