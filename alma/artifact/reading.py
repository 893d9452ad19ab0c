"""A sealed artifact, for reading: rows, a model or a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alma.artifact.manifest import File, Manifest, Metrics, Ref, find_manifest
from alma.artifact.records import SCHEMAS
from alma.artifact.tables import lacks, read_part
from alma.errors import DataError, IntegrityError, UserError
from alma.parallel import FILES, in_order
from alma.regular import parse
from alma.store import Store
from alma.store.cache import cached

MOST = 10**15
"""Seconds or tokens of one artifact that are believed: more than there can be, and few enough to be added and drawn."""


class Cost(BaseModel):
    """What making an artifact took, as ``cost.json`` beside it says: no part of what is sealed."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    seconds: float = Field(ge=0, le=MOST)
    tokens: int = Field(ge=0, le=MOST)
    device: str


class Artifact:
    """A sealed artifact, for reading. Files are fetched when first asked for, and checked against the manifest."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest

    @classmethod
    def open(cls, store: Store, ref: Ref) -> Artifact:
        """Opens ``ref`` as the class that its manifest's kind names. Raises ``DataError`` where it is not sealed."""
        manifest = find_manifest(store, ref)
        if manifest is None:
            raise DataError(
                f"{store.uri}: {ref} does not exist or is not sealed (no manifest.json); is it the right --store?"
            )
        return {"rows": Rows, "model": Model, "page": Page}[manifest.kind](store, manifest)

    @property
    def ref(self) -> Ref:
        """The artifact's name."""
        return self.manifest.ref

    @property
    def metrics(self) -> Metrics:
        """The stage's scalar results."""
        return self.manifest.metrics

    @property
    def cost(self) -> Cost | None:
        """What the work took; ``None`` where ``cost.json`` is gone or cannot be read: nothing else depends on it."""
        try:
            return Cost.model_validate_json(self.store.read(f"{self.ref}/cost.json"))
        except (FileNotFoundError, ValidationError, UserError):
            return None

    def steps_beside(self, name: str) -> list[dict[str, Any]]:
        """The lines of a training's file that is no part of what is sealed, a step each; none where it is not there.

        Raises ``DataError`` for a line that is no step.
        """
        named = f"{self.ref}/{name}"
        try:
            lines = self.store.read(named).splitlines()
        except FileNotFoundError:
            return []
        found = []
        for number, line in enumerate(lines, 1):
            place = f"{self.store.uri}/{named}, step {number}"
            step = parse(line, place)
            if not isinstance(step, dict) or type(step.get("step")) is not int or abs(step["step"]) > MOST:
                raise DataError(f"{place}: {line[:60]!r} is not as a training writes it; remove the file")
            found.append(step)
        return found

    def file(self, name: str) -> Path:
        """The file ``name`` on this machine. Raises ``IntegrityError`` where it is not what the manifest states."""
        stated = next((f for f in self.manifest.files if f.name == name), None)
        if stated is None:
            raise DataError(f"{self.store.uri}: {self.ref} has no file {name!r}")
        return cached(self.store, f"{self.ref}/{name}", stated.size, stated.sha256)


class Rows(Artifact):
    """Rows in Parquet parts."""

    def __len__(self) -> int:
        return self.manifest.num_rows or 0

    @property
    def columns(self) -> list[str]:
        """The columns of these rows."""
        return list(SCHEMAS[str(self.manifest.schema_name)].names)

    def table(self, columns: list[str] | None = None, start: int = 0, stop: int | None = None) -> pa.Table:
        """Rows ``start`` to ``stop``; only the parts that hold them are fetched.

        Raises ``DataError`` for ``columns`` that these rows do not have.
        """
        lacking = next((name for name in columns or () if name not in self.columns), None)
        if lacking is not None:
            raise DataError(
                f"{self.store.uri}: {self.ref} holds {self.manifest.schema_name} rows, which have no {lacking!r}; they "
                "have " + ", ".join(self.columns) + ": was another artifact meant?"
            )
        tables = list(self._tables(columns, start, len(self) if stop is None else stop))
        if tables:
            return pa.concat_tables(tables)
        empty = SCHEMAS[str(self.manifest.schema_name)].empty_table()
        return empty.select(columns) if columns else empty

    def _tables(self, columns: list[str] | None, start: int, stop: int) -> Iterator[pa.Table]:
        first, wanted = 0, []
        for file in self.manifest.files:
            rows = file.rows or 0
            if first < stop and first + rows > start:
                wanted.append((file, max(start - first, 0), min(stop - first, rows)))
            first += rows
        paths = in_order(self.file, [file.name for file, _, _ in wanted], FILES)
        for path, (file, low, high) in zip(paths, wanted, strict=True):
            yield self._part(path, file, columns).slice(low, high - low)

    def _part(self, path: Path, file: File, columns: list[str] | None) -> pa.Table:
        """One file's rows. Raises ``IntegrityError`` where it holds others than the manifest states."""
        schema = str(self.manifest.schema_name)
        lacking = lacks(path, schema)
        table = None if lacking else read_part(path, schema, columns)
        if table is not None and len(table) == file.rows:
            return table
        found = f"has no column {lacking!r}" if table is None else f"has {len(table)} rows"
        raise IntegrityError(
            f"{self.store.uri}: {self.ref}/manifest.json states {file.rows} {schema} rows of {file.name}, which "
            f"{found}; remove the artifact's folder and run again"
        )

    def expect(self, *schema_names: str) -> None:
        """Raises ``DataError`` unless these rows are of one of these kinds."""
        if self.manifest.schema_name not in schema_names:
            raise DataError(f"{self.ref} holds {self.manifest.schema_name} rows; wanted: {' or '.join(schema_names)}")


class Folder(Artifact):
    """A folder of files: a model or a page."""

    @property
    def folder(self) -> Path:
        """The folder on this machine, every file fetched and checked. Raises ``DataError`` for one without files."""
        paths = in_order(self.file, [f.name for f in self.manifest.files], FILES)
        if not paths:
            raise DataError(f"{self.store.uri}: {self.ref} is empty; remove its folder and run again")
        depth = len(Path(self.manifest.files[0].name).parts)
        return paths[0].parents[depth - 3]  # all names begin with files/<hash>/, as find_manifest saw


class Model(Folder):
    """A model as Hugging Face lays it out."""


class Page(Folder):
    """A report: ``report.html`` and the numbers behind it, ``report.json``."""
