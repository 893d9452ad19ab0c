"""The key to sheets: what was given to raters, in the run's own spelling, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from alma.errors import DataError
from alma.sheet.item import Item
from alma.sources.rows import Bad, read_rows, shown

FILE = "key.jsonl"


def as_jsonl(items: Sequence[Item]) -> str:
    """A line for each, in the order of the sheets."""
    return "".join(json.dumps({"id": each.id, **each._asdict()}, ensure_ascii=False) + "\n" for each in items)


def read_key(folder: Path) -> dict[str, Item]:
    """Id → what it names, from the folder that ``write`` left. Raises ``DataError`` where a line is not as written."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the folder that alma sheet write left, with its {FILE}")
    items: dict[str, Item] = {}
    for row in read_rows(path):
        if isinstance(row, Bad):
            raise DataError(f"{path} line {row.line}: {row.detail}")
        try:
            item = Item(**{name: row.values[name] for name in Item._fields})
            wrong = row.values["id"] != item.id
        except (KeyError, TypeError):
            wrong = True
        if wrong or item.id in items:
            raise DataError(
                f"{path} line {row.line}: {shown(row.values)} is not as it was written; write the sheets anew"
            )
        items[item.id] = item
    return items
