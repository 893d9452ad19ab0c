"""What a Parquet file becomes in memory is bounded by its footer, and by the system where the footer lies."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alma.errors import DataError
from alma.sources import parquet
from alma.sources.parquet import read_parquet


def written(path: Path, **columns: list[str]) -> Path:
    """Every row group one page for each column, unpacked a thousand times as large."""
    pq.write_table(
        pa.table(columns), path, compression="zstd", use_dictionary=False, data_page_size=2**31 - 1, row_group_size=64
    )
    return path


def read(path: Path, *wanted: str) -> list[dict[str, Any]]:
    return list(read_parquet(path, lambda there: wanted or there))


def nothing_is_read(*_: object, **__: object) -> Any:
    raise AssertionError("a page was read")


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [
        ("MOST_ROWS_BYTES", 2**20, r"a.parquet: by its footer the rows are 12 MiB large, and the file has"),
        ("ROW_BYTES", 2**15 + 100, r"a.parquet rows 65-128: have 8,38\d,\d+ bytes by its footer, and 32,868 are the"),
    ],
)
def test_what_its_footer_says_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, said: str
) -> None:
    path = written(tmp_path / "a.parquet", prompt=["x" * 2**16] * 64 + ["y" * 2**17] * 64)
    monkeypatch.setattr(parquet, bound, most)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", nothing_is_read)
    with pytest.raises(DataError, match=said):
        read(path)


def test_columns_that_are_not_read_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", a=["x" * 2**20] * 64, **{"a.b": ["y"] * 64})
    monkeypatch.setattr(parquet, "MOST_ROWS_BYTES", 2**20)
    with pytest.raises(DataError, match="by its footer"):
        read(path, "a")
    monkeypatch.setattr(parquet, "MOST_ROWS_BYTES", 2**30)
    assert len(read(path, "a.b")) == 64


def apart(path: Path, least_memory: int) -> str:
    """What becomes of the file in a process of its own: one that has given memory back may take it again.

    Its memory is the system's: Arrow's own pool takes a gigabyte of addresses before it needs them.
    """
    code = (
        "import sys\nfrom pathlib import Path\nfrom alma.errors import DataError\nfrom alma.sources import parquet\n"
        f"parquet.LEAST_MEMORY = {least_memory}\n"
        "try: print(len(list(parquet.read_parquet(Path(sys.argv[1]), lambda there: there))), 'rows')\n"
        "except DataError as error: print(error)"
    )
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_a_footer_that_says_less_does_not_help(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", prompt=["x" * 2**22] * 64)
    assert apart(path, 2**27) == "64 rows\n", "as much as it states is taken"
    lie(path, 1000)
    assert apart(path, 2**27).startswith("a.parquet row 1: from here on 128 rows take more than 128 MiB of memory")


def lie(path: Path, said: int) -> None:
    """Has the footer say that what is unpacked has ``said`` bytes: Thrift's numbers, padded to the length they had."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    head, footer = data[: -8 - length], data[-8 - length : -8]
    group = pq.read_metadata(path).row_group(0)
    for size in {group.total_byte_size, group.column(0).total_uncompressed_size}:
        footer = footer.replace(varint(size), varint(said, len(varint(size))))
    path.write_bytes(head + footer + data[-8:])
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == said


def varint(number: int, length: int = 0) -> bytes:
    """A number as Thrift's compact protocol writes it: seven bits a byte, the sign last, at least ``length`` bytes."""
    left, written = number << 1, bytearray()
    while left > 0x7F or len(written) + 1 < length:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left])
