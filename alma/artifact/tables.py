"""Reads one Parquet part, as the schema of its rows is now."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from alma.artifact.records import SCHEMAS


def lacks(path: Path, schema: str) -> str | None:
    """The first column that rows of the ``schema`` of that name have to have, and those of the file have not."""
    there = set(pq.read_schema(path).names)
    return next((field.name for field in SCHEMAS[schema] if not field.nullable and field.name not in there), None)


def read_part(path: Path, schema: str, columns: list[str] | None = None) -> pa.Table:
    """The rows of the file at ``path``, of the ``schema`` of that name; of ``columns``, or of all.

    A nullable column that the schema got after the file was written holds nulls.
    """
    there = pq.read_schema(path).names
    later = {field.name: field for field in SCHEMAS[schema] if field.nullable and field.name not in there}
    wanted = [*there, *later] if columns is None else columns
    table = pq.read_table(path, columns=[name for name in wanted if name not in later], memory_map=True)
    for name in wanted:
        if name in later:
            table = table.append_column(later[name], pa.nulls(len(table), later[name].type))
    return table.select(wanted).replace_schema_metadata(None)  # what the part says of itself: alma.artifact.statement
