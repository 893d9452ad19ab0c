"""What is said of a published part: by its statement, and by the file itself, under the hash of its content.

A statement is a small object that anybody who may write to the store could alter, and that may arrive damaged. So all
that enters a manifest is said by the Parquet file too, in its metadata, and is compared before it is believed. Whoever
writes another file and a statement that fits has written another part: the rows of a store are as trustworthy as those
who may write to it. The seconds alone are only stated; they go into ``cost.json``, which nothing depends on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from alma.artifact.digest import HASH_CHARS
from alma.artifact.manifest import Ref

METADATA = b"alma.part"

Count = Annotated[int, Field(ge=0)]


class Statement(BaseModel):
    """States that a part is published: its first row, its file's name, hash, bytes and rows, counts, and seconds."""

    model_config = ConfigDict(frozen=True, strict=True)

    start: Count
    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Count
    rows: Count
    schema_name: str
    counts: dict[str, int]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]

    def problem(self, path: Path, sha256: str, ref: Ref) -> str | None:
        """What the file at ``path``, with this hash, has otherwise than it is stated; ``None`` if all is as stated."""
        if sha256 != self.sha256:
            return f"its file has SHA-256 {sha256[:12]}… where it says {self.sha256[:12]}…"
        try:
            found = pq.read_metadata(path)
        except pa.ArrowInvalid:
            return "its file is not Parquet"
        said = (found.metadata or {}).get(METADATA)
        if (found.num_rows, path.stat().st_size) != (self.rows, self.size):
            return f"its file has {found.num_rows} rows in {path.stat().st_size} bytes"
        if said != described(ref, self.start, self.schema_name, self.counts):
            return "it says another place, kind of rows or counts than its file"
        return None


def file_name(part: str, sha256: str) -> str:
    """The name of a part's file within the artifact."""
    return f"{part}-{sha256[:HASH_CHARS]}.parquet"


def described(ref: Ref, start: int, schema: str, counts: Mapping[str, int]) -> bytes:
    """What a part's file says of itself."""
    said = {"artifact": str(ref), "start": start, "schema": schema, "counts": dict(counts)}
    return json.dumps(said, sort_keys=True).encode()


def summed(statements: Iterable[Statement]) -> dict[str, int]:
    """The counts of several parts, added up."""
    total: dict[str, int] = {}
    for stated in statements:
        for what, amount in stated.counts.items():
            total[what] = total.get(what, 0) + amount
    return total
