"""Opens a set's file as it is published: rows in any form that ``ingest`` reads, packed with gzip or xz or not."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from alma.bounded import TooLargeError, within
from alma.errors import AccessError, DataError
from alma.regular import check_regular
from alma.sources.row import Bad, Row
from alma.sources.rows import read_rows

MOST_BYTES = 2**32
"""Of an unpacked file: ten times the largest of these sets. A file of some megabytes may unpack to any size. [ours]"""

_XZ_MEMORY = 2**28
"""Bytes that unpacking may take; ``xz -9`` asks for 65 MiB."""

_PIECE = 2**20


@contextmanager
def opened(path: Path) -> Iterator[Iterator[Row]]:
    """Yields the rows of ``path``. Raises ``DataError`` with file and line for what cannot be read."""
    if not path.exists():
        raise DataError(f"{path}: no such file; download the set first, and name its file here")
    check_regular(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name the set's file in it")
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
    pieces = _PACKED.get(path.suffix.lower())
    if pieces is None:
        return path
    whole = scratch / path.stem
    try:
        with path.open("rb") as packed, whole.open("wb") as file:
            for piece in within(pieces(packed), MOST_BYTES):
                file.write(piece)
    except TooLargeError as error:
        raise DataError(
            f"{path}: is larger than {MOST_BYTES:,} bytes when it is unpacked, and its file has "
            f"{path.stat().st_size:,}; is it the file of that set? else unpack it yourself and name that"
        ) from error
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}; is it whole? fetch it again") from error
    return whole


def _gzip(packed: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=packed, mode="rb") as file:
        yield from iter(lambda: file.read(_PIECE), b"")


def _xz(packed: BinaryIO) -> Iterator[bytes]:
    """By hand, since ``lzma.LZMAFile`` takes as much memory as a file says that its dictionary needs: up to 4 GiB."""
    decoder, given = None, b""
    while given := given or packed.read(_PIECE):
        if decoder is None:  # streams follow one another, with zeros between
            given = given.lstrip(b"\0")
            decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY) if given else None
            continue
        yield decoder.decompress(given, _PIECE)
        while not (decoder.eof or decoder.needs_input):
            yield decoder.decompress(b"", _PIECE)
        given = decoder.unused_data
        decoder = None if decoder.eof else decoder
    if decoder is not None:
        raise EOFError("it ends in the middle")


_PACKED: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {".gz": _gzip, ".xz": _xz}
