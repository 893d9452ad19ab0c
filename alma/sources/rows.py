"""Reads rows from files that people wrote, each with its line number.

A line that cannot be read becomes a ``Bad`` row; a file that cannot be read raises ``DataError``.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self, TextIO

import pyarrow.parquet as pq

from alma.bounded import bounded_memory
from alma.errors import DataError
from alma.regular import JSON_MEMORY, MANY_DIGITS, ROW_BYTES, TOO_MANY_DIGITS
from alma.sources.parquet import read_parquet

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
MOST_COLUMNS = 10_000
"""Of a CSV. [ours]"""

JSON_BYTES = 2**28
"""Of a file that is one JSON value, and so read as a whole. [ours]"""

_AS_LINES = "write one object per line, named .jsonl: jq -c '.[]' old.json > new.jsonl"

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
        for line, data in enumerate(iter(lambda: file.readline(ROW_BYTES + 1), b""), start=1):
            if len(data) > ROW_BYTES:
                raise DataError(f"{_too_large(path, line, 'bytes')}: does each row end with its line?")
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
        said = MANY_DIGITS if TOO_MANY_DIGITS in str(error) else f"not readable as JSON: {str(error)[:100]}"
        return Bad(line, "not JSON", said, text)
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
        with bounded_memory(JSON_MEMORY):
            whole = json.loads(text, object_pairs_hook=_once)
    except MemoryError as error:
        raise DataError(
            f"{path.name}: its values take more than {JSON_MEMORY // 2**20:,} MiB of memory; {_AS_LINES}"
        ) from error
    except json.JSONDecodeError as error:
        hint = "; one object per line is named .jsonl" if error.msg == "Extra data" else ""
        _broken(path, error.lineno, f"not JSON: {error.msg} at column {error.colno}{hint}", error)
    except (ValueError, RecursionError) as error:
        said = (
            MANY_DIGITS if TOO_MANY_DIGITS in str(error) else f"not readable as JSON: {str(error)[:100]}; mend it there"
        )
        raise DataError(f"{path.name}: {said}") from error
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
        if at - start > ROW_BYTES // 4 and len(text[start:at].encode("utf-8", "surrogatepass")) > ROW_BYTES:
            raise DataError(_too_large(path, line, "bytes"))
        yield _row(line, value)
        line += text.count("\n", start, at)


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


def _csv(path: Path) -> Iterator[Row | Bad]:
    with path.open("rb") as file:
        _refuse_utf16(path, file.read(2))
    csv.field_size_limit(ROW_BYTES)  # the default refuses a response of more than 131,072 characters
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _table(path, _Lines(file))


def _table(path: Path, lines: _Lines) -> Iterator[Row | Bad]:
    reader = csv.reader(lines, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        lines.begin_row()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            _broken(path, line, f"not CSV: {error}; fields with quotes or line ends stand in double quotes", error)
        except OverflowError as error:
            raise DataError(
                f"{_too_large(path, line, 'characters')}: does each row end with its line, is every quote closed?"
            ) from error
        except UnicodeDecodeError as error:
            _not_utf8(path, error)
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
    for line, values in enumerate(read_parquet(path, wanted), start=1):
        yield Row(line, values)


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > JSON_BYTES:
        raise DataError(
            f"{path.name}: has {size:,} bytes, and JSON of more than {JSON_BYTES:,} is not read as a whole; {_AS_LINES}"
        )
    data = path.read_bytes()
    _refuse_utf16(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _not_utf8(path, error)


def _not_utf8(path: Path, error: UnicodeDecodeError) -> NoReturn:
    """Raises ``DataError`` with the place of the first byte in ``path`` that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    start, line = 0, 1
    with path.open("rb") as file:
        while True:
            block = file.read(2**20)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as found:
                at, byte = start - held + found.start, found.object[found.start]
                line += found.object.count(b"\n", 0, found.start)
                _broken(path, line, f"byte {at} of the file (0x{byte:02x}) is not UTF-8; save it as UTF-8", error)
            assert block, f"{path} was read as UTF-8, and is"
            start += len(block)
            line += block.count(b"\n")


def _too_large(path: Path, line: int, unit: str) -> str:
    return (
        f"{path.name} line {line}: the row that begins here has more than {ROW_BYTES:,} {unit}, the most that a row "
        "may have; shorten it or take it out"
    )


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
