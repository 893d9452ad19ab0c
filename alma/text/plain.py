"""Text of models and of other processes, fit for a terminal: on one line, cut, control characters made visible."""

from __future__ import annotations

from typing import Any

from alma.ending import escaped

MAX_CHARS = 200
MAX_MESSAGE_CHARS = 2000
"""Characters of an error that are shown."""


def plain(value: Any) -> str:
    """A value on one line, control characters made visible; turns of a conversation each behind its role."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = " | ".join(f"{each.get('role')}: {each.get('content')}" for each in value)
    if isinstance(value, list) and value and isinstance(value[0], float):
        return "[" + ", ".join(f"{x:.3f}" for x in value[:16]) + (", …]" if len(value) > 16 else "]")
    text = escaped(str(value)[: MAX_CHARS + 1]).replace("\n", "\\n")
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"


def short(message: str | None) -> str:
    """A message cut to what a page can show."""
    text = message or ""
    return text if len(text) <= MAX_MESSAGE_CHARS else text[:MAX_MESSAGE_CHARS] + " …"
