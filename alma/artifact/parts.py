"""The published parts of an artifact that is not sealed yet.

A part is two objects: the Parquet file, and a small JSON written after it, its statement. A part without a statement
does not count as published. A later attempt resumes after the published parts.

Several attempts at the same work may write at once: one whose machine was taken for dead, or a shard that was started
twice. On a GPU they may compute different bytes. So a file's name holds the hash of its content, no file is ever
overwritten with other content, and a statement names its file: whichever statement is written last matches its file.
Files of the slower attempt, which no statement or manifest names, stay in the store and are never read.

How many rows a part has is no part of the artifact's key. An attempt that cuts the rows otherwise than an earlier one
did goes on from those of its parts that cover the rows which its own would, and computes the others again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from alma.artifact.manifest import Ref
from alma.store import Store
from alma.store.cache import sha256_file

HASH_CHARS = 16
"""Hex digits of the content's hash in a name: 64 bits, enough to tell the few attempts at one part apart."""


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of the artifact."""

    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name within the artifact: the statement appends ``.json``, the file the content's hash and ``.parquet``."""
        return f"parts/{self.number:05d}"


class Statement(BaseModel):
    """States that a part is published: its first row, its file's name, hash, bytes and rows, counts, and seconds."""

    model_config = ConfigDict(frozen=True)

    start: int
    file: str
    sha256: str
    size: int
    rows: int
    schema_name: str
    counts: dict[str, int]
    seconds: float


class Parts:
    """The parts of one artifact in the store."""

    def __init__(self, store: Store, ref: Ref) -> None:
        self._store = store
        self._ref = ref
        self._layout: dict[str, Part] | None = None
        self._settled: list[Statement] | None = None

    def lay_out(self, parts: Sequence[Part]) -> None:
        """Says of which parts the artifact is made: statements of others do not count from here on."""
        self._layout = {part.name: part for part in parts}
        self._settled = None

    def publish(
        self, part: Part, path: Path, schema: str, rows: int, counts: Mapping[str, int], seconds: float
    ) -> None:
        """Publishes the Parquet file at ``path`` as ``part``, whole or not at all."""
        digest = sha256_file(path)
        statement = Statement(
            start=part.start,
            file=f"{part.name}-{digest[:HASH_CHARS]}.parquet",
            sha256=digest,
            size=path.stat().st_size,
            rows=rows,
            schema_name=schema,
            counts=dict(counts),
            seconds=round(seconds, 3),
        )
        self._store.upload(path, f"{self._ref}/{statement.file}")
        self._store.write(f"{self._ref}/{part.name}.json", statement.model_dump_json().encode())
        self._settled = None

    def stated(self) -> dict[str, Statement]:
        """Part → its current statement, in the order of the parts; those unreadable or of other rows are left out."""
        found = {}
        for name in self._store.list(f"{self._ref}/parts"):
            if name.endswith(".json"):
                try:
                    statement = Statement.model_validate_json(self._store.read(name))
                except ValidationError:  # written by another version: the part is computed again
                    continue
                part = name.removeprefix(f"{self._ref}/").removesuffix(".json")
                if self._fits(part, statement):
                    found[part] = statement
        return dict(sorted(found.items()))

    def _fits(self, name: str, statement: Statement) -> bool:
        if self._layout is None:
            return True
        part = self._layout.get(name)
        return part is not None and (statement.start, statement.start + statement.rows) == (part.start, part.stop)

    def settled(self) -> list[Statement]:
        """The statements in order, read once after the last publication by this object.

        So metrics and manifest describe the same files, whatever another attempt publishes meanwhile.
        """
        if self._settled is None:
            self._settled = list(self.stated().values())
        return self._settled

    def missing(self) -> list[str]:
        """Parts of the layout that ``settled`` lacks: another attempt replaced them by parts of other rows."""
        named = {f"parts/{Path(each.file).name.partition('-')[0]}" for each in self.settled()}
        return [name for name in self._layout or () if name not in named]
