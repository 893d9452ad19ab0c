"""Sheets as CSV: written for every spreadsheet, read as spreadsheets save it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from alma.errors import DataError
from alma.regular import DOCUMENT_BYTES, ROW_BYTES, read_regular
from alma.sheet.cells import cell
from alma.sheet.item import ROW_ID, Item
from alma.sheet.score import Given

COLUMNS = ("prompt", "response", "score", ROW_ID)

_BETWEEN = ",;\t"
"""What spreadsheets write between cells: where the comma is in numbers, a semicolon."""


def as_csv(items: Sequence[Item]) -> str:
    """A line for each under ``COLUMNS``, scores empty; with the mark by which Excel knows UTF-8."""
    text = io.StringIO(newline="")
    text.write("\ufeff")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    lines.writerows([cell(each.asked), cell(each.response), "", each.id] for each in items)
    return text.getvalue()


def _num_ours(first: str, between: str) -> int:
    """How many of our columns the first line names with ``between`` between its cells; other headings may hold it."""
    names = {each.strip() for each in next(csv.reader([first], delimiter=between), [])}
    return len(names & set(COLUMNS))


def read_csv(path: Path) -> Iterator[Given]:
    """The rows of a filled-in sheet; the rater is the file's name. Further columns are not read.

    Raises ``DataError`` for what is no such sheet.
    """
    try:
        text = read_regular(path, DOCUMENT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8; save it as CSV UTF-8") from error
    csv.field_size_limit(ROW_BYTES)
    names: list[str] = []
    line = 1
    try:
        between = max(_BETWEEN, key=partial(_num_ours, text.partition("\n")[0]))
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
        for cells in lines:
            if not names:
                names = [each.strip() for each in cells]
                missing = [each for each in COLUMNS if names.count(each) != 1]
                if missing:
                    raise DataError(
                        f"{path} line 1: the columns are {', '.join(names)}; there must be one each of "
                        f"{', '.join(COLUMNS)}"
                    )
            elif any(cells):
                if len(cells) < len(names):
                    cells = cells + [""] * (len(names) - len(cells))  # noqa: PLW2901 - empty cells at the end are cut
                if any(cells[len(names) :]):
                    raise DataError(
                        f"{path} line {line}: has {len(cells)} cells where the first line has {len(names)}; put a cell "
                        f"that holds {between!r} in quotes, and write a score such as 7.5 with a point or in quotes"
                    )
                row = dict(zip(names, cells, strict=False))
                yield Given(f"{path} line {line}", path.stem, row[ROW_ID].strip(), row, row["score"])
            line = lines.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} line {line}: not CSV: {error}; save it as CSV UTF-8") from error
