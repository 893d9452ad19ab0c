"""Reads rows from files that people wrote, each with its line number.

A line that cannot be read becomes a ``Bad`` row; a file that cannot be read raises ``DataError``.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from alma.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
BATCH_ROWS = 1024
MOST_COLUMNS = 10_000
"""Of a CSV. [ours]"""
_NOT_PYTHON = (ValueError, OverflowError, KeyError)
"""A date that Python does not have, text that is not UTF-8, a map with a key twice."""

_BETWEEN_ITEMS = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``line`` counts from 1 (in Parquet: rows)."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    """An unusable row: the kind of fault, a sentence about it with the value, and the row as it was read."""

    line: int
    reason: str
    detail: str
    raw: Any


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a row for a value that Python cannot hold, and says why."""

    why: str

    def __repr__(self) -> str:
        return self.why


def read_rows(
    path: Path, wanted: Callable[[Sequence[str]], Collection[str]] = lambda there: there
) -> Iterator[Row | Bad]:
    """The rows of ``path`` in order. ``wanted`` chooses among the columns, where the format can leave others out.

    Raises ``DataError`` for an unknown suffix or a file that is empty, not UTF-8, or broken as a whole.
    """
    read = {".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv}.get(path.suffix.lower())
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path.name}: rows are read from {', '.join(SUFFIXES)}, and not from {path.suffix or 'this'!r}; "
            "name it by what it holds, or convert it"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path.name}: the file is empty ({path}); bring one that holds rows")
    return read(path) if read else _parquet(path, wanted)


def column_names(path: Path, first: Row | None) -> list[str]:
    """The columns there are, nested ones with dots; ``first`` is the first row that was read."""
    if path.suffix.lower() == ".parquet":
        schema = pq.read_metadata(path).schema
        # Parquet writes "list.element" where a place in a list stands.
        return [schema.column(i).path.replace("list.element", "0") for i in range(len(schema))]
    return list(_flat(first.values)) if first else []


def shown(value: object, most: int = 60) -> str:
    """``value`` for an error message: escaped, and cut where it is long."""
    text = repr(value[:most]) if isinstance(value, str | bytes) else repr(value)
    cut = len(value) > most if isinstance(value, str | bytes) else len(text) > most
    return f"{text[: most + 2]}…" if cut else text


def _jsonl(path: Path) -> Iterator[Row | Bad]:
    with path.open("rb") as file:
        start = 0
        for line, data in enumerate(file, start=1):
            if line == 1:
                _refuse_utf16(path, data)
            try:
                text = data.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                detail = f"byte {start + error.start} of the file (0x{data[error.start]:02x}) is not UTF-8"
                yield Bad(line, "not UTF-8", detail, data.decode("utf-8", "backslashreplace"))
            else:
                if text.strip(" \t\r\n"):
                    yield _object(line, text)
            start += len(data)


def _object(line: int, text: str) -> Row | Bad:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        detail = f"not JSON: {error.msg} at column {error.colno}: {shown(text.strip())}"
        return Bad(line, "not JSON", detail, text)
    except (ValueError, RecursionError) as error:  # a name twice, a number of 5,000 digits, a thousand brackets
        return Bad(line, "not JSON", f"not readable as JSON: {str(error)[:100]}", text)
    return _row(line, value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of ``pairs``; JSON's readers agree on no one of two values of a name."""
    there = dict(pairs)
    if len(there) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return there


def _row(line: int, value: Any) -> Row | Bad:
    if isinstance(value, dict):
        return Row(line, value)
    return Bad(line, "not an object", f"is {shown(value)}, and not an object such as {{'prompt': …}}", value)


def _json(path: Path) -> Iterator[Row | Bad]:
    text = _text(path)
    try:
        whole = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        hint = "; one object per line is named .jsonl" if error.msg == "Extra data" else ""
        _broken(path, error.lineno, f"not JSON: {error.msg} at column {error.colno}{hint}", error)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: not readable as JSON: {str(error)[:100]}; mend it there") from error
    if not isinstance(whole, list):
        raise DataError(
            f"{path.name}: holds {shown(whole)}; wanted a list of objects, or one object per line in .jsonl"
        )
    # The text is known to be a list, so every item can be decoded again, this time with its line number.
    decoder, at, line = json.JSONDecoder(), text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    for _ in whole:
        found = _BETWEEN_ITEMS.match(text, at)
        start = found.end() if found else at
        line += text.count("\n", at, start)
        value, at = decoder.raw_decode(text, start)
        yield _row(line, value)
        line += text.count("\n", start, at)


def _csv(path: Path) -> Iterator[Row | Bad]:
    csv.field_size_limit(sys.maxsize)  # the default refuses a response of more than 131,072 characters
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            _broken(path, line, f"not CSV: {error}; fields with quotes or line ends stand in double quotes", error)
        if fields is None:
            return
        if not fields:
            continue
        if not header:
            header = fields
            if len(header) > MOST_COLUMNS:
                most = f"{MOST_COLUMNS:,} are the most; do the lines end as they should?"
                raise DataError(f"{path.name} line {line}: has {len(header):,} columns, and {most}")
            counted = Counter(header)
            twice = next((name for name in header if name and counted[name] > 1), None)
            if twice is not None:
                raise DataError(
                    f"{path.name} line {line}: the header names the column {twice!r} twice; rename one of them"
                )
        elif len(fields) == len(header):
            yield Row(line, dict(zip(header, fields, strict=True)))
        else:
            detail = f"has {len(fields)} fields where the header has {len(header)}: {shown(','.join(fields))}"
            yield Bad(line, "wrong number of fields", detail, fields)


def _parquet(path: Path, wanted: Callable[[Sequence[str]], Collection[str]]) -> Iterator[Row | Bad]:
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            top = {part for name in wanted(there) for part in (name, name.partition(".")[0])}
            columns = [name for name in there if name in top]
            twice = next((name for name in columns if columns.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{path.name}: there are two columns {twice!r}; rename one of them")
            done = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                lists = [_plain(column) for column in batch.columns]
                for i in range(batch.num_rows):
                    yield Row(done + i + 1, {name: values[i] for name, values in zip(columns, lists, strict=True)})
                done += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: not readable as Parquet: {str(error).splitlines()[0]}; write it anew") from error


def _plain(column: pa.Array) -> list[Any]:
    """The values of ``column`` as Python's own."""
    try:
        return list(column.to_pylist(maps_as_pydicts="strict"))
    except _NOT_PYTHON:  # one by one, then
        return [_one(value) for value in column]


def _one(value: pa.Scalar) -> Any:
    try:
        return value.as_py(maps_as_pydicts="strict")
    except _NOT_PYTHON as error:
        return Unreadable(f"{value.type} that Python cannot hold: {str(error)[:100]}")


def _text(path: Path) -> str:
    data = path.read_bytes()
    _refuse_utf16(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind the byte order mark.
        at = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        line = data.count(b"\n", 0, at) + 1
        _broken(path, line, f"byte {at} of the file (0x{data[at]:02x}) is not UTF-8; save it as UTF-8", error)


def _refuse_utf16(path: Path, data: bytes) -> None:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path.name} line 1: the file is UTF-16; save it as UTF-8")


def _broken(path: Path, line: int, detail: str, error: Exception) -> NoReturn:
    raise DataError(f"{path.name} line {line}: {detail}") from error


def _flat(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of everything below ``value``; of a list only its first two items."""
    if isinstance(value, dict):
        items = [(str(name), below) for name, below in value.items()]
    elif isinstance(value, list):
        items = [(str(place), below) for place, below in enumerate(value[:2])]
    else:
        yield prefix
        return
    for name, below in items:
        yield from _flat(below, f"{prefix}.{name}" if prefix else name)
