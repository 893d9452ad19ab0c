"""The ids of a file's rows: its own where every row has one that is no other row's, else the rows' places."""

from __future__ import annotations

from collections import Counter

from alma.sources.values import Fault


class Ids:
    """Collects what each row has as its id, and decides about all at once.

    ``column`` is the column of the source, ``named`` whether a person named it. A column ``id`` that nobody named may
    be anything, say the prompt's id beside each of its responses: where it does not tell all rows apart it is not used.
    """

    def __init__(self, column: str, named: bool) -> None:
        self.column = column
        self.named = named
        self._found: list[str] = []
        self._places: list[str] = []
        self._where: dict[str, str] = {}
        self._flaw: str | None = None
        self._is_there = False
        self._num_repeats = 0

    def add(self, found: str | Fault | None, where: str, place: str) -> None:
        """One row: what its column holds, where it stands in words, and its id where the column is not used."""
        self._places.append(place)
        self._is_there |= found is not None
        if isinstance(found, str):
            self._found.append(found)
            if found in self._where:
                self._num_repeats += 1
                self._flaw = self._flaw or f"{found!r} stands in {self._where[found]} and in {where}"
            self._where.setdefault(found, where)
        elif self._flaw is None:
            self._flaw = f"{where} has none" if found is None else f"{where}: {found.detail}"

    def decided(self) -> list[str]:
        """The id of each row, in order."""
        whole = self._flaw is None and len(self._found) == len(self._places)
        return self._found if whole else _numbered(self._places)

    def unused(self) -> str | None:
        """A sentence on a column that is there and was not used."""
        if self._flaw is None or not self._is_there:
            return None
        return f"the column {self.column!r} is not used as the rows' id: {self._flaw}. Rows are named by their place."

    def repeated(self) -> str | None:
        """What to do about a column that a person named and that repeats: the rows themselves may all be good."""
        if not self.named or not self._num_repeats:
            return None
        return (
            f"id = {self.column!r} does not tell the rows apart: {self._flaw}; {self._num_repeats} of "
            f"{len(self._places)} rows repeat one.\nIn the run file: leave id out of columns, and rows are named by "
            "their place; or name a column that differs in every row"
        )


def _numbered(places: list[str]) -> list[str]:
    """Of rows in one place, as in JSON without line ends, those behind the first have a number: 1, 1.2, 1.3."""
    seen: Counter[str] = Counter()
    names = []
    for place in places:
        seen[place] += 1
        names.append(place if seen[place] == 1 else f"{place}.{seen[place]}")
    return names
