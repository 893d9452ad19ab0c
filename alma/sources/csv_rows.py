"""Rows of a CSV, each of as many fields as its header names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO

from alma.errors import DataError
from alma.regular import ROW_BYTES
from alma.sources.legible import broken, not_utf8, refuse_blank, refuse_utf16, too_large
from alma.sources.row import Bad, Row, shown
from alma.text.twice import first_twice

MOST_COLUMNS = 10_000
"""Of a CSV. [ours]"""


class _Lines:
    """The lines of a CSV; a row may have several, and all of them together ``ROW_BYTES`` characters."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._left = ROW_BYTES

    def begin_row(self) -> None:
        self._left = ROW_BYTES

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise OverflowError
        if not line:
            raise StopIteration
        return line


def read_csv(path: Path) -> Iterator[Row | Bad]:
    """The rows below the header. Raises ``DataError`` for what is no CSV in UTF-8, or too large to be one of rows."""
    with path.open("rb") as file:
        refuse_utf16(path, file.read(2))
    csv.field_size_limit(ROW_BYTES)  # the default refuses a response of more than 131,072 characters
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _table(path, _Lines(file))


def _table(path: Path, lines: _Lines) -> Iterator[Row | Bad]:
    reader = csv.reader(lines, strict=True)
    header: list[str] = []
    blank = 0
    while True:
        line = reader.line_num + 1
        lines.begin_row()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            broken(path, line, f"not CSV: {error}; fields with quotes or line ends stand in double quotes", error)
        except OverflowError as error:
            raise DataError(
                f"{too_large(path, line, 'characters')}: does each row end with its line, is every quote closed?"
            ) from error
        except UnicodeDecodeError as error:
            not_utf8(path, error)
        if fields is None:
            return
        blank = 0 if fields else blank + 1
        refuse_blank(path, line, blank)
        if not fields:
            continue
        if not header:
            header = fields
            if len(header) > MOST_COLUMNS:
                most = f"{MOST_COLUMNS:,} are the most; do the lines end as they should?"
                raise DataError(f"{path.name} line {line}: has {len(header):,} columns, and {most}")
            twice = first_twice(filter(None, header))
            if twice is not None:
                raise DataError(
                    f"{path.name} line {line}: the header names the column {twice!r} twice; rename one of them"
                )
        elif len(fields) == len(header):
            yield Row(line, dict(zip(header, fields, strict=True)))
        else:
            detail = f"has {len(fields)} fields where the header has {len(header)}: {shown(','.join(fields))}"
            yield Bad(line, "wrong number of fields", detail, fields)
