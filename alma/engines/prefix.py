"""The tokens that several rows share at their beginning. Axes: B rows, T tokens."""

from __future__ import annotations


def shared_prefix(ids_BT: list[list[int]]) -> list[int]:
    """The tokens with which all rows begin."""
    first, last = min(ids_BT), max(ids_BT)  # lexicographic: whatever these two share, all between them share
    differ = (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(differ, min(len(first), len(last)))]
