"""The key to sheets: what was given to raters, in the run's own spelling, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from alma.errors import DataError
from alma.prompts.conversation import column, messages
from alma.sheet.item import Item
from alma.sources.row import Bad, shown
from alma.sources.rows import read_rows

FILE = "key.jsonl"


def as_jsonl(items: Sequence[Item]) -> str:
    """A line for each, in the order of the sheets."""
    rows = ({"id": each.id, **each._asdict(), "earlier": column(each.earlier)} for each in items)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


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
            given = {name: row.values[name] for name in Item._fields}
            item = Item(**given | {"earlier": messages(given["earlier"])})
            texts = (item.prompt, item.response, item.source, "" if item.checkpoint is None else item.checkpoint)
            wrong = row.values["id"] != item.id or not all(isinstance(each, str) for each in texts)
        except (AttributeError, KeyError, TypeError):
            wrong = True
        if wrong or item.id in items:
            raise DataError(
                f"{path} line {row.line}: {shown(row.values)} is not as it was written; write the sheets anew"
            )
        items[item.id] = item
    return items
