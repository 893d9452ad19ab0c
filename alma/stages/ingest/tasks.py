"""A folder of lm-eval's tasks, taken in as rows of files: what a run was examined with stays with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from alma import sources
from alma.artifact import Metrics
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.sections import IngestTasks
from alma.store.cache import sha256_file

PART_FILES = 4096


def digest_of(files: Sequence[tuple[str, Path]]) -> str:
    """Of the files' names and bytes, in hexadecimal."""
    stated = "".join(f"{sha256_file(path)} {name}\n" for name, path in files)
    return hashlib.sha256(stated.encode("utf-8", "surrogatepass")).hexdigest()


def ingest_tasks(cfg: IngestTasks, base: Path, scratch: Path, out: Out) -> Metrics:
    """Publishes every file of the folder. Raises ``DataError`` for one without a task."""
    files = sources.fetch_tasks(cfg, base, scratch)
    rows = [
        {"id": out.row_id(place), "source_id": name, "content": path.read_bytes()}
        for place, (name, path) in enumerate(files)
    ]
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["task_file"]), "task_file", PART_FILES)
    return {"num_files": len(rows), "bytes": sum(path.stat().st_size for _, path in files)}
