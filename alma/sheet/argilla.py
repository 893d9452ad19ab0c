"""A dataset of Argilla 2, in the folder that ``rg.Dataset.from_disk`` reads; and what it exports.

Its client writes records as ``{"id", "fields", "responses": {"score": [{"value", "user_id"}]}}`` (``to_json``), or
flat (``to_list``), with ``score.responses``, ``score.responses.users`` and ``score.responses.status``. Argilla 2.8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alma.prompts import RATINGS
from alma.sheet.item import Item
from alma.sheet.scale import GUIDELINES, QUESTION
from alma.sheet.score import Given
from alma.sources.row import Row

QUESTION_NAME = "score"
_FLAT = f"{QUESTION_NAME}.responses"


def files(items: Sequence[Item], num_raters: int) -> dict[str, str]:
    """Name → content of the files below its folder; a record is done when ``num_raters`` users have submitted it."""
    records = [
        {"id": each.id, "fields": {"prompt": each.asked, "response": each.response}, "metadata": {}} for each in items
    ]
    return {
        ".argilla/dataset.json": json.dumps({"name": "alma-scores"}),
        ".argilla/settings.json": json.dumps(_settings(num_raters), indent=1, ensure_ascii=False),
        "records.json": json.dumps(records, indent=1, ensure_ascii=False),
    }


def _settings(num_raters: int) -> dict[str, Any]:
    text = {"type": "text", "use_markdown": False}  # a model's text: shown as it is
    return {
        "guidelines": GUIDELINES,
        "fields": [
            {"name": name, "title": name.capitalize(), "required": True, "settings": text, "type": "text"}
            for name in ("prompt", "response")
        ],
        "questions": [
            {
                "name": QUESTION_NAME,
                "title": QUESTION,
                "description": None,
                "required": True,
                "settings": {"type": "rating", "options": [{"value": rating} for rating in RATINGS]},
                "type": "rating",
            }
        ],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": num_raters},
        "mapping": None,
    }


def is_record(row: Mapping[str, Any]) -> bool:
    """Whether a row is a record that Argilla exported."""
    return (isinstance(row.get("fields"), Mapping) and "responses" in row) or _FLAT in row


def read_record(path: Path, row: Row) -> Iterator[Given]:
    """What each user gave; drafts and what was discarded are left out where the export says so (the flat one does)."""
    values = row.values
    if _FLAT in values:
        texts, given = values, values[_FLAT] or []
        users = values.get(f"{_FLAT}.users") or [None] * len(given)
        states = values.get(f"{_FLAT}.status") or ["submitted"] * len(given)
        found = [(user, value) for user, value, state in zip(users, given, states, strict=True) if state == "submitted"]
    else:
        texts = values["fields"]
        listed = (values["responses"] or {}).get(QUESTION_NAME, [])
        found = [(each.get("user_id"), each.get("value")) for each in listed]
    place = f"{path} line {row.line}"
    for user, value in found:
        yield Given(place, f"argilla {user or path.stem}", values.get("id"), texts, value)
