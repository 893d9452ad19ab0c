"""What every file of rows is held to: UTF-8, and rows of a size that can be held."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import NoReturn

from alma.errors import DataError
from alma.regular import ROW_BYTES

MOST_BLANK = 1_000_000
"""Lines in a row that hold nothing: a few bytes unpack to billions of them, which would be read for an hour. [ours]"""


def refuse_blank(path: Path, line: int, count: int) -> None:
    """Raises ``DataError`` where the ``count`` lines up to ``line`` are blank, and no file of rows has so many."""
    if count > MOST_BLANK:
        raise DataError(f"{path.name} line {line}: is the last of more than {MOST_BLANK:,} blank lines; take them out")


def refuse_utf16(path: Path, data: bytes) -> None:
    """Raises ``DataError`` where ``data``, the first bytes of ``path``, are UTF-16's mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path.name} line 1: the file is UTF-16; save it as UTF-8")


def not_utf8(path: Path, error: UnicodeDecodeError) -> NoReturn:
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
                broken(path, line, f"byte {at} of the file (0x{byte:02x}) is not UTF-8; save it as UTF-8", error)
            assert block, f"{path} was read as UTF-8, and is"
            start += len(block)
            line += block.count(b"\n")


def too_large(path: Path, line: int, unit: str) -> str:
    """What is said of a row of more than ``ROW_BYTES`` ``unit`` (bytes, characters)."""
    return (
        f"{path.name} line {line}: the row that begins here has more than {ROW_BYTES:,} {unit}, the most that a row "
        "may have; shorten it or take it out"
    )


def broken(path: Path, line: int, detail: str, error: Exception) -> NoReturn:
    """Raises ``DataError`` that names the line, because of ``error``."""
    raise DataError(f"{path.name} line {line}: {detail}") from error
