"""How a schema of rows is written."""

from __future__ import annotations

import pyarrow as pa

IDS = pa.list_(pa.string())
TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def schema(*fields: tuple[str, pa.DataType], nullable: tuple[str, ...] = ()) -> pa.Schema:
    """A schema of ``fields``, of which only those named ``nullable`` may be null."""
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in fields])
