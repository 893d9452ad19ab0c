"""Finds our columns in a row of the source, and checks their values."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from alma.errors import ConfigError
from alma.sources.paths import Found, by_place, find
from alma.sources.roles import ANSWERS, CONVERSATIONS, SYSTEM, Kind, Roles, SystemTurn, Turns
from alma.sources.row import shown
from alma.sources.values import Fault, characters, flag, identifier, is_hole, score, text, texts

REQUIRED: dict[Kind, tuple[str, ...]] = {
    "pairs": ("prompt", "response"),
    "scores": ("prompt", "response", "score"),
    "prompts": ("prompt",),
}
OPTIONAL: dict[Kind, tuple[str, ...]] = {
    "pairs": (),
    "scores": (),
    "prompts": ("reference", "family", "true_references", "false_references"),
}
BY_NAME: dict[Kind, tuple[str, ...]] = {"pairs": (), "scores": (), "prompts": ("harmful",)}
"""Columns that are read only where the settings name them, and that every row then has."""
LISTS = ("true_references", "false_references")
"""Columns that hold several texts; a row has both or neither."""

OFTEN_CALLED = {
    "prompt": ("instruction", "question", "input", "query", "text"),
    "response": ("output", "completion", "answer", "chosen"),
    "score": ("rating", "label", "grade", "overall"),
    "reference": ("answer", "target", "solution"),
    "family": ("category", "task", "type"),
    "harmful": ("unsafe", "is_harmful", "label"),
    "true_references": ("correct_answers", "best_answers"),
    "false_references": ("incorrect_answers", "wrong_answers"),
    "id": ("idx", "uid", "index"),
}
"""Names that other data sets use; only ever suggested, never assumed."""


_ROLE = re.compile(r"(.+?)\.(?:\d+\.(?:role|from)|(?:role|from)\.\d+)")


class Columns:
    """Our columns for one kind of rows, and the columns of the source that hold them.

    ``found`` counts how many rows had each. Raises ``ConfigError`` for a column that the kind does not have.
    """

    def __init__(
        self,
        kind: Kind,
        columns: Mapping[str, str],
        system_turn: SystemTurn | None = None,
        turns: Turns = "first",
    ) -> None:
        ours = ("id", *REQUIRED[kind], *OPTIONAL[kind])
        for name in columns:
            if name not in (*ours, *BY_NAME[kind]):
                there = ", ".join((*ours, *BY_NAME[kind]))
                raise ConfigError(f"columns: {name!r} is not a column of {kind}; those are: {there}")
        named = set(columns) & set(BY_NAME[kind])
        ours = (*ours, *named)
        self.kind = kind
        self.theirs = {name: columns.get(name, name) for name in ours}
        self.must_appear = {*REQUIRED[kind], *columns}
        self.needed = {*REQUIRED[kind], *({"id"} & set(columns)), *named}
        self.id_is_named = "id" in columns
        self.roles = Roles(kind, set(columns), system_turn, turns)
        self.found: Counter[str] = Counter()

    def read(self, values: Mapping[str, Any], *, numbers_are_text: bool = False) -> dict[str, Any]:
        """One checked row: ``id``, our columns, and ``earlier`` where turns are before the prompt. Raises ``Fault``.

        ``id`` is a text, ``None`` where the source has none, or the ``Fault`` of a column that nobody named (``Ids``
        decides about those). ``numbers_are_text`` is for CSV, where every value is text.
        """
        found = {name: find(values, theirs) for name, theirs in self.theirs.items()}
        self.roles.fill(found, values)
        self.found.update(name for name, each in found.items() if each is not None)
        for name, each in found.items():
            if each is None and name in self.needed:
                theirs = self.theirs[name]
                raise Fault(f"no {theirs!r}", f"has no {theirs!r}; it has: {shown(', '.join(map(str, values)))}")
        row = self._checked(found, numbers_are_text)
        self.roles.kept()
        return row

    def _checked(self, found: Mapping[str, Found | None], numbers_are_text: bool) -> dict[str, Any]:
        picked = {name: None if each is None else each.value for name, each in found.items()}
        prompt, answer = found["prompt"], ANSWERS[self.kind]
        assert prompt is not None, "every kind needs one"
        picked["prompt"], picked[answer], earlier = self.roles.read(prompt, found[answer])
        row: dict[str, Any] = {"id": self._id(picked.pop("id"))}
        for name, value in picked.items():
            if name == "score":
                row[name] = score(value, numbers_are_text)
            elif name == "harmful":
                row[name] = flag(name, value, numbers_are_text)
            elif name in LISTS:
                row[name] = None if is_hole(value) else texts(name, value)
            elif name in self.needed:
                row[name] = text(name, value)
            else:
                row[name] = None if is_hole(value) or value == "" else characters(name, value)
        if len({row.get(name) is None for name in LISTS}) > 1:
            lacks = next(name for name in LISTS if row[name] is None)
            raise Fault(
                f"no {lacks}", f"has {' and '.join(set(LISTS) - {lacks})} and no {lacks}: they are only compared"
            )
        return row | ({"earlier": earlier} if earlier else {})

    def _id(self, value: Any) -> str | Fault | None:
        """Of a column that nobody named, what is wrong with it is no fault of the row."""
        try:
            found = identifier(value)
            if found is None and self.id_is_named:
                raise Fault("empty id", f"{self.theirs['id']!r} is {shown(value)}")
        except Fault as fault:
            if not self.id_is_named:
                return fault
            hint = "leave id out of columns, and rows are named by their place"
            raise Fault(fault.reason, f"{fault.detail}; or {hint}") from None
        return found

    def wanted(self, there: Sequence[str]) -> set[str]:
        """The columns of the source to read, where ``there`` are all."""
        wanted = {*self.theirs.values(), SYSTEM}
        sides = {"prompt", ANSWERS[self.kind]} & (self.needed - self.roles.named)
        is_plain = self.roles.turns == "first" and sides <= set(there)  # else a row may have its conversation there
        return wanted if is_plain else wanted | set(CONVERSATIONS)

    def never_found(self) -> list[str]:
        """Columns of ours that no row had, although they are required or the settings name them."""
        return [name for name in self.theirs if name in self.must_appear and not self.found[name]]


def explain_missing(ours: str, theirs: str, there: Sequence[str]) -> str:
    """What to do about a column that no row has; ``there`` are the columns that exist, nested ones with dots."""
    talks = [*dict.fromkeys(found[1] for name in there if (found := _ROLE.fullmatch(name)))]
    there = list(dict.fromkeys(next((talk for talk in talks if name.startswith(f"{talk}.")), name) for name in there))
    names = f"{', '.join(there[:12]) or 'none'}{', …' if len(there) > 12 else ''}"
    likely = [name for name in there if not by_place(name) and "reject" not in name]
    close = difflib.get_close_matches(theirs, likely, n=1, cutoff=0.7)
    close = close or [name for name in OFTEN_CALLED.get(ours, ()) if name in likely][:1]
    close = close or [name for name in talks if name in likely and ours in ("prompt", *ANSWERS.values())][:1]
    close = close or difflib.get_close_matches(theirs, likely, n=1, cutoff=0.5)
    remedy = f"columns = {{ {ours} = {json.dumps(close[0] if close else 'their name')} }}"
    if close and close[0] in talks:
        remedy += "; a conversation is read by the roles of its turns"
    split = next((s for s in (";", "\t", "|") if len(there) == 1 and s in there[0]), None)
    if split:
        remedy = f"separate the fields by commas, not by {split!r}"
    return f"no row has the column {theirs!r}. Columns there: {names}.\nIn the run file: {remedy}"
