"""Reads rows from files that people wrote, each with its line number.

A line that cannot be read becomes a ``Bad`` row; a file that cannot be read raises ``DataError``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from alma.errors import DataError
from alma.sources.csv_rows import read_csv
from alma.sources.json_rows import read_json, read_jsonl
from alma.sources.parquet import read_parquet
from alma.sources.row import Bad, Row

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")

MOST_NAMES, NAME_CHARS = 1000, 200
"""Columns that are looked at for a message, and what is kept of the name of one. [ours]"""


def read_rows(
    path: Path, wanted: Callable[[Sequence[str]], Collection[str]] = lambda there: there
) -> Iterator[Row | Bad]:
    """The rows of ``path`` in order. ``wanted`` chooses among the columns, where the format can leave others out.

    Raises ``DataError`` for an unknown suffix or a file that is empty, not UTF-8, or broken as a whole.
    """
    read = {".jsonl": read_jsonl, ".ndjson": read_jsonl, ".json": read_json, ".csv": read_csv}.get(path.suffix.lower())
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path.name}: rows are read from {', '.join(SUFFIXES)}, and not from {path.suffix or 'this'!r}; "
            "name it by what it holds, or convert it"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path.name}: the file is empty; bring one that holds rows")
    return read(path) if read else _parquet(path, wanted)


def column_names(path: Path, first: Row | None) -> list[str]:
    """The columns there are, nested ones with dots, as many as a message needs; ``first`` is the first row read."""
    if path.suffix.lower() == ".parquet":
        schema = pq.read_metadata(path).schema
        # Parquet writes "list.element" where a place in a list stands.
        return [schema.column(i).path.replace("list.element", "0") for i in range(min(len(schema), MOST_NAMES))]
    return list(islice(_flat(first.values), MOST_NAMES)) if first else []


def _parquet(path: Path, wanted: Callable[[Sequence[str]], Collection[str]]) -> Iterator[Row | Bad]:
    for line, values in enumerate(read_parquet(path, wanted), start=1):
        yield Row(line, values)


def _flat(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of everything below ``value``; of a list only its first two items."""
    if len(prefix) == NAME_CHARS:
        yield prefix
        return
    if isinstance(value, dict):
        items = [(str(name), below) for name, below in value.items()]
    elif isinstance(value, list):
        items = [(str(place), below) for place, below in enumerate(value[:2])]
    else:
        yield prefix
        return
    for name, below in items:
        # A name of a megabyte would stand before each of a hundred thousand others.
        yield from _flat(below, (f"{prefix}.{name}" if prefix else name)[:NAME_CHARS])
