"""Reads rows from Parquet, within bounds on what a file may become in memory.

Its pages are compressed, and a text that it holds once may stand in every row: a file of a kilobyte can be terabytes of
rows. What its footer says of that is what whoever wrote it wanted to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alma.bounded import bounded_memory
from alma.errors import DataError
from alma.regular import ROW_BYTES
from alma.text.twice import first_twice

BATCH_ROWS, PYTHON_ROWS = 128, 16
"""That are decoded together; that are Python's at once."""

MOST_MEMORY = 2**32
"""Bytes that decoding ``BATCH_ROWS`` rows may take: 1,100 rows of a megabyte, which pyarrow writes as one page of a
gigabyte, take 2.5 GiB. [ours]"""

LEAST_MEMORY, TIMES_STATED = 2**30, 3
"""The same where the footer states little, and for each byte that it states of a row group: a page is held unpacked,
and again as rows. What one text becomes that stands in many rows, it does not state. [ours]"""

MOST_TIMES, MOST_ROWS_BYTES = 100, 2**30
"""The rows of a file may be this many times as large as the file, once they are larger than this many bytes: texts are
compressed to a third or a tenth, less where a prompt stands before each of its responses. [ours]"""

_NOT_PYTHON = (ValueError, OverflowError, KeyError)
"""A date that Python does not have, text that is not UTF-8, a map with a key twice."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a row for a value that Python cannot hold, and says why."""

    why: str

    def __repr__(self) -> str:
        return self.why


def read_parquet(path: Path, wanted: Callable[[Sequence[str]], Collection[str]]) -> Iterator[dict[str, Any]]:
    """The rows of ``path`` in order, of the columns that ``wanted`` chooses among their names.

    Raises ``DataError`` for a file that is broken, has a wanted name twice, or goes beyond the bounds.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            top = {part for name in wanted(there) for part in (name, name.partition(".")[0])}
            columns = [name for name in there if name in top]
            twice = first_twice(columns)
            if twice is not None:
                raise DataError(f"{path.name}: there are two columns {twice!r}; rename one of them")
            stated = _stated(file, columns)
            _check_stated(path, file, stated)
            for batch in _batches(path, file, columns, max(stated, default=0)):
                for start in range(0, batch.num_rows, PYTHON_ROWS):
                    piece = batch.slice(start, PYTHON_ROWS)
                    lists = [_plain(column) for column in piece.columns]
                    for i in range(piece.num_rows):
                        yield {name: values[i] for name, values in zip(columns, lists, strict=True)}
                del batch  # before the next one is read
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: not readable as Parquet: {str(error).splitlines()[0]}; write it anew") from error


def _stated(file: pq.ParquetFile, columns: Collection[str]) -> list[int]:
    """What the footer says of each row group: the bytes of the pages of ``columns``, unpacked."""
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    within = [i for i, path in enumerate(paths) if any(f"{path}.".startswith(f"{name}.") for name in columns)]
    groups = [file.metadata.row_group(place) for place in range(file.num_row_groups)]
    return [sum(max(0, group.column(i).total_uncompressed_size) for i in within) for group in groups]


def _check_stated(path: Path, file: pq.ParquetFile, stated: Sequence[int]) -> None:
    """Raises ``DataError`` where the footer says enough to refuse the file."""
    size, total = path.stat().st_size, sum(stated)
    if total > max(MOST_ROWS_BYTES, MOST_TIMES * size):
        raise _too_many_times(f"{path.name}: by its footer", total, size)
    first = 1
    for place, group_bytes in enumerate(stated):
        num_rows = max(0, file.metadata.row_group(place).num_rows)
        if group_bytes > 2 * ROW_BYTES * num_rows > 0:  # pages have heads, which count too
            raise DataError(
                f"{path.name} rows {first}-{first + num_rows - 1}: have {group_bytes:,} bytes by its footer, and "
                f"{ROW_BYTES:,} are the most that a row may have; shorten it or take it out"
            )
        first += num_rows


def _too_many_times(place: str, total: int, size: int) -> DataError:
    return DataError(
        f"{place} the rows are {total // 2**20:,} MiB large, and the file has {size:,} bytes, of which {MOST_TIMES} "
        "times as much is read; is it the right file? else write it as JSONL"
    )


def _batches(path: Path, file: pq.ParquetFile, columns: list[str], stated: int) -> Iterator[pa.RecordBatch]:
    size = path.stat().st_size
    most = min(MOST_MEMORY, LEAST_MEMORY + TIMES_STATED * stated)
    first, total = 1, 0
    with closing(file.iter_batches(BATCH_ROWS, columns=columns)) as batches:
        while True:
            try:
                with bounded_memory(most):
                    batch = next(batches, None)
            except MemoryError as error:  # Arrow's are
                raise DataError(
                    f"{path.name} row {first}: from here on {BATCH_ROWS:,} rows take more than "
                    f"{most // 2**20:,} MiB of memory; shorten what is that long, or write the file as JSONL"
                ) from error
            if batch is None:
                return
            _check_rows(path, batch, first)
            total += batch.nbytes
            if total > max(MOST_ROWS_BYTES, MOST_TIMES * size):
                raise _too_many_times(f"{path.name} row {first}: up to here", total, size)
            first += batch.num_rows
            yield batch
            del batch


def _check_rows(path: Path, batch: pa.RecordBatch, first: int) -> None:
    for i in range(batch.num_rows if batch.nbytes > ROW_BYTES else 0):
        if (size := batch.slice(i, 1).nbytes) > ROW_BYTES:
            raise DataError(
                f"{path.name} row {first + i}: has {size:,} bytes, and {ROW_BYTES:,} are the most that a row may have; "
                "shorten it or take it out"
            )


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
