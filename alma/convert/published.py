"""Opens a set's file as it is published: rows in any form that ``ingest`` reads, packed with gzip or xz or not."""

from __future__ import annotations

import gzip
import lzma
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alma.errors import AccessError, DataError
from alma.sources.rows import Bad, Row, read_rows

_PACKED: dict[str, Any] = {".gz": gzip.GzipFile, ".xz": lzma.LZMAFile}


@contextmanager
def opened(path: Path) -> Iterator[Iterator[Row]]:
    """Yields the rows of ``path``. Raises ``DataError`` with file and line for what cannot be read."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; download the set first, and name its file here")
    with TemporaryDirectory(prefix="alma-") as scratch:
        try:
            yield _rows(_unpacked(path, Path(scratch)), path.name)
        except PermissionError as error:
            raise AccessError(f"{path}: {error.strerror}") from error


def _rows(path: Path, name: str) -> Iterator[Row]:
    for row in read_rows(path):
        if isinstance(row, Bad):
            raise DataError(f"{name} line {row.line}: {row.detail}")
        yield row


def _unpacked(path: Path, scratch: Path) -> Path:
    unpack = _PACKED.get(path.suffix.lower())
    if unpack is None:
        return path
    whole = scratch / path.stem
    try:
        with unpack(path, "rb") as packed, whole.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}; is it whole? fetch it again") from error
    return whole
