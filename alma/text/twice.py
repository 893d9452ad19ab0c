"""Which of many names stands more than once, in one pass: hostile files have a million."""

from __future__ import annotations

from collections.abc import Iterable


def first_twice(names: Iterable[str]) -> str | None:
    """The first of ``names`` to come again, None where each stands once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
