"""Tasks and the labelling interface of Label Studio; and what it exports, as JSON or JSON-MIN.

Forms as of ``label-studio-sdk`` 2.1: an annotation holds results, ``{"from_name": "score", "value": {"number": 7}}``;
JSON-MIN has one object per annotation, ``score`` in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from alma.prompts import RATINGS
from alma.sheet.item import ROW_ID, Item
from alma.sheet.scale import GUIDELINES, QUESTION
from alma.sheet.score import Given
from alma.sources.row import Row

_SCORE = "score"


def files(items: Sequence[Item]) -> dict[str, str]:
    """Name → content of the files below its folder."""
    tasks = [{"data": {ROW_ID: each.id, "prompt": each.asked, "response": each.response}} for each in items]
    return {"tasks.json": json.dumps(tasks, indent=1, ensure_ascii=False), "interface.xml": _interface()}


def _interface() -> str:
    said = "\n".join(
        f'  <Header value={quoteattr(line)} size="6"/>' for line in GUIDELINES.splitlines() if line.strip()
    )
    return (
        f"<View>\n{said}\n"
        '  <Header value="Prompt"/>\n  <Text name="prompt" value="$prompt"/>\n'
        '  <Header value="Response"/>\n  <Text name="response" value="$response"/>\n'
        f"  <Header value={quoteattr(QUESTION)}/>\n"
        f'  <Number name="{_SCORE}" toName="response" min="{RATINGS[0]}" max="{RATINGS[-1]}" step="1" '
        'required="true"/>\n</View>\n'
    )


def is_task(row: Mapping[str, Any]) -> bool:
    """Whether a row is a task that Label Studio exported as JSON, or an annotation as JSON-MIN."""
    return (isinstance(row.get("data"), Mapping) and "annotations" in row) or "annotation_id" in row


def read_task(path: Path, row: Row) -> Iterator[Given]:
    """What each annotator gave; what was skipped is left out."""
    place, values = f"{path} line {row.line}", row.values
    if "annotation_id" in values:
        yield Given(place, _rater(values.get("annotator")), values.get(ROW_ID), values, _number(values.get(_SCORE)))
        return
    for annotation in values["annotations"]:
        if not annotation.get("was_cancelled"):
            found = [each["value"] for each in annotation.get("result", []) if each.get("from_name") == _SCORE]
            rater = _rater(annotation.get("completed_by"))
            yield Given(place, rater, values["data"].get(ROW_ID), values["data"], _number(found))


def _rater(user: Any) -> str:
    name = user.get("email") or user.get("id") if isinstance(user, Mapping) else user
    return f"label-studio {name}"


def _number(value: Any) -> Any:
    """The number of what stands for it: itself, ``{"number": 7}``, or a list of one of these."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    return value.get("number") if isinstance(value, Mapping) else value
