"""The comparison as files for a paper: JSON with every repeat, CSV with a line per arm and measure, Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from alma.page.arms import Arm, document
from alma.page.comparison import OVERLAP, SHOWN, Shown, differences, errors, overlap, present, table
from alma.page.figure import Table
from alma.text.visible import visible

JSON, CSV, MARKDOWN = "comparison.json", "comparison.csv", "comparison.md"


def comparison_files(title: str, compared: Sequence[Arm]) -> dict[str, str]:
    """File name → text. Numbers in JSON and CSV are not rounded; an error that cannot be told is null, or empty."""
    return {
        JSON: json.dumps(document(title, compared), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        CSV: _csv(compared),
        MARKDOWN: _markdown(title, compared),
    }


def _csv(compared: Sequence[Arm]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("arm", "measure", "mean", "standard_error", "error_over", "repeats", "prompts"))
    for arm in compared:
        for name, mean in arm.means.items():
            error = "" if mean.error is None else repr(mean.error)
            writer.writerow((arm.name, name, repr(mean.value), error, mean.over, len(mean.values), mean.num))
    return buffer.getvalue()


def _markdown(title: str, compared: Sequence[Arm]) -> str:
    parts = [f"# {_cell(title)}", "", *_rows(compared, SHOWN), "", errors(compared)]
    if found := differences(compared):
        title, against = found
        parts += ["", f"{_cell(title)}:", "", *_lines(against)]
    told, listed = overlap(compared)
    parts += ["", told] if told else []
    parts += ["", *_rows(compared, OVERLAP)] if listed is not None else []
    return "\n".join(parts) + "\n"


def _rows(compared: Sequence[Arm], among: Sequence[Shown]) -> list[str]:
    return _lines(table(compared, present(compared, among)))


def _lines(written: Table) -> list[str]:
    lines = [written.columns, ("---", *("---:" for _ in written.columns[1:])), *written.rows]
    return [f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines]


def _cell(text: str) -> str:
    escaped = visible(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
