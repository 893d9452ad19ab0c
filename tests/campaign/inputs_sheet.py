"""Sheets, drawn: what raters filled in, of each tool, and the key, one of them spoilt."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from alma.sheet.item import ROW_ID, Item
from alma.sheet.key import FILE, as_jsonl
from alma.sheet.spreadsheet import as_csv
from tests.campaign.inputs import Case
from tests.campaign.inputs_values import as_json, spoil_bytes, spoil_tree

ITEMS = [Item(f"copy {n}", f"{n}", f"rows.jsonl line {n}") for n in range(4)]
ARGILLA = [
    {"id": each.id, "fields": {"prompt": each.prompt}, "responses": {"score": [{"value": 7, "user_id": "a"}]}}
    for each in ITEMS
]
FLAT = [
    {"id": each.id, "score.responses": [7], "score.responses.users": ["a"], "score.responses.status": ["submitted"]}
    for each in ITEMS
]
LABEL_STUDIO = [
    {
        "data": {ROW_ID: each.id, "prompt": each.prompt, "response": each.response},
        "annotations": [{"completed_by": {"id": 1}, "result": [{"from_name": "score", "value": {"number": 7}}]}],
    }
    for each in ITEMS
]
JSON_MIN = [{ROW_ID: each.id, "annotation_id": 1, "annotator": 1, "score": 7} for each in ITEMS]


def sheets(draw: random.Random, folder: Path, world: Path) -> Case:
    """A sheet that is read back."""
    del world
    made = folder / "made"
    made.mkdir()
    key = as_jsonl(ITEMS).encode()
    suffix = draw.choice((".csv", ".json", ".json", ".json", ".jsonl"))
    given: list[Any] = draw.choice((ARGILLA, FLAT, LABEL_STUDIO, LABEL_STUDIO, JSON_MIN))
    if suffix == ".csv":
        filled = spoil_bytes(draw, as_csv(ITEMS).encode().replace(b",,", b",7,"))
    else:
        tree = spoil_tree(draw, given)
        filled = as_json(tree)
        if suffix == ".jsonl" and isinstance(tree, list):
            filled = b"\n".join(map(as_json, tree))
        if draw.random() < 0.15:
            filled = spoil_bytes(draw, filled)
    if draw.random() < 0.15:
        key, filled = spoil_bytes(draw, key), as_json(given)
    (made / FILE).write_bytes(key)
    (folder / f"rater{suffix}").write_bytes(filled)
    arguments = ["sheet", "read", "made", f"rater{suffix}", "--out", "scores", *draw.choice(([], ["--partial"]))]
    return Case("alma", arguments, folder)
