"""Rows of JSON: an object on each line, or a list of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alma.bounded import bounded_memory
from alma.errors import DataError
from alma.regular import JSON_MEMORY, MANY_DIGITS, ROW_BYTES, TOO_MANY_DIGITS
from alma.sources.legible import broken, not_utf8, refuse_blank, refuse_utf16, too_large
from alma.sources.row import Bad, Row, shown
from alma.text.twice import first_twice

JSON_BYTES = 2**28
"""Of a file that is one JSON value, and so read as a whole. [ours]"""

_AS_LINES = "write one object per line, named .jsonl: jq -c '.[]' old.json > new.jsonl"

_BETWEEN_ITEMS = re.compile(r"[\s,]*")


def read_jsonl(path: Path) -> Iterator[Row | Bad]:
    """A row for each line that is not blank. Raises ``DataError`` for a line of more than ``ROW_BYTES``."""
    with path.open("rb") as file:
        start = blank = 0
        for line, data in enumerate(iter(lambda: file.readline(ROW_BYTES + 1), b""), start=1):
            if len(data) > ROW_BYTES:
                raise DataError(f"{too_large(path, line, 'bytes')}: does each row end with its line?")
            if line == 1:
                refuse_utf16(path, data)
            try:
                text = data.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                detail = f"byte {start + error.start} of the file (0x{data[error.start]:02x}) is not UTF-8"
                yield Bad(line, "not UTF-8", detail, data.decode("utf-8", "backslashreplace"))
            else:
                if text.strip(" \t\r\n"):
                    blank = 0
                    yield _object(line, text)
                else:
                    blank += 1
                    refuse_blank(path, line, blank)
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
        raise ValueError(f"{shown(first_twice(name for name, _ in pairs))} stands twice in one object")
    return there


def _row(line: int, value: Any) -> Row | Bad:
    if isinstance(value, dict):
        return Row(line, value)
    return Bad(line, "not an object", f"is {shown(value)}, and not an object such as {{'prompt': …}}", value)


def read_json(path: Path) -> Iterator[Row | Bad]:
    """A row for each item. Raises ``DataError`` for what is no list in JSON, or too large to be read as a whole."""
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
        broken(path, error.lineno, f"not JSON: {error.msg} at column {error.colno}{hint}", error)
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
            raise DataError(too_large(path, line, "bytes"))
        yield _row(line, value)
        line += text.count("\n", start, at)


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > JSON_BYTES:
        raise DataError(
            f"{path.name}: has {size:,} bytes, and JSON of more than {JSON_BYTES:,} is not read as a whole; {_AS_LINES}"
        )
    data = path.read_bytes()
    refuse_utf16(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        not_utf8(path, error)
