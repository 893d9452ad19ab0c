"""What pydantic found wrong with an object that was read, in words."""

from __future__ import annotations

from pydantic import ValidationError

_MOST_CHARS = 60


def first_fault(error: ValidationError) -> str:
    """The first fault: where it is, what it is, and the value that is there, cut where it is long."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(step)[:_MOST_CHARS] for step in fault["loc"])
    said = f"{place[: 4 * _MOST_CHARS]}: " if place else ""
    if fault["type"] == "missing":
        return f"{said}is required"
    if fault["type"] == "json_invalid":  # the value is the whole text
        return f"{said}{fault['msg']}"
    value = repr(fault["input"])
    cut = value if len(value) <= _MOST_CHARS else f"{value[:_MOST_CHARS]}…"
    return f"{said}{fault['msg']} (it is {cut})"
