"""What raters gave, checked against the key: ``Scores``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from alma.errors import DataError
from alma.sheet.cells import is_text
from alma.sheet.item import ROW_ID, Item
from alma.sources.row import shown
from alma.sources.values import Fault
from alma.sources.values import score as number

MOST_FAULTS = 20
"""Lines of an error."""

_COMMA = re.compile(r"\d+,\d+")
"""A number as half of Europe writes it."""


class Given(NamedTuple):
    """One row of a filled-in file, as it stands there; ``place`` is its file and line."""

    place: str
    rater: str
    id: Any
    texts: Mapping[str, Any]
    """``prompt`` and ``response``."""

    score: Any
    """``None`` where it is empty."""


class Scores:
    """Scores by rater and row. What is wrong is collected, and told at once by ``check``."""

    def __init__(self, key: Mapping[str, Item]) -> None:
        self.key = key
        self.of_rater: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """Rater → id → score, 0..10."""

        self.faults: list[str] = []
        self._places: dict[tuple[str, str], str] = {}
        self._empty: dict[str, str] = {}

    def add(self, given: Given) -> None:
        """Takes one row in."""
        item = self.key.get(given.id) if isinstance(given.id, str) else None
        if item is None:
            told = f"{ROW_ID} {shown(given.id)} is none of the key's; give the file that was filled in for this folder"
            self.faults.append(f"{given.place}: {told}")
            return
        before = self._places.get((given.rater, item.id))
        self._places[given.rater, item.id] = given.place
        if before is not None:
            told = f"{ROW_ID} {item.id} of {given.rater} stands in {before} too; leave one of them"
            self.faults.append(f"{given.place}: {told}")
        elif self._is_untouched(given, item) and (score := self._score(given, item)) is not None:
            self.of_rater[given.rater][item.id] = score

    def _is_untouched(self, given: Given, item: Item) -> bool:
        for name, text in (("prompt", item.asked), ("response", item.response)):
            found = given.texts.get(name)
            if not isinstance(found, str) or not is_text(found, text):
                told = f"{name} is {shown(found)} and was {shown(text)} when it was given out"
                self.faults.append(f"{given.place}: {told}; its score is of another text: undo the change")
                return False
        return True

    def _score(self, given: Given, item: Item) -> float | None:
        value = given.score.strip() if isinstance(given.score, str) else given.score
        if value is None or value == "":
            self._empty.setdefault(item.id, given.place)
            return None
        try:
            spelt = value.replace(",", ".") if isinstance(value, str) and _COMMA.fullmatch(value) else value
            return number(spelt, numbers_are_text=True)
        except Fault as fault:
            self.faults.append(f"{given.place}: {fault.detail}; write a number from 0 to 10, or leave it empty")
            return None

    def missing(self) -> list[str]:
        """The ids that nobody scored."""
        scored = {each for scores in self.of_rater.values() for each in scores}
        return [each for each in self.key if each not in scored]

    def check(self, *, partial: bool) -> None:
        """Raises ``DataError`` with all faults; unless ``partial`` also where rows have no score."""
        faults = self.faults
        missing = self.missing()
        if missing and not partial and not faults:
            places = [self._empty.get(each, f"{each} ({shown(self.key[each].asked)})") for each in missing]
            listed = ", ".join(places[:5]) + (", …" if len(places) > 5 else "")
            told = f"{len(missing)} of {len(self.key)} rows have no score: {listed}; fill them in, or give --partial"
            faults = [told]
        if not self.of_rater and not faults:
            faults = ["there is no score in these files"]
        if faults:
            more = f"\n… and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
            raise DataError("\n".join(faults[:MOST_FAULTS]) + more)
