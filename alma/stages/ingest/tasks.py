"""A folder of lm-eval's tasks, taken in as rows of files: what a run was examined with stays with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from alma import sources
from alma.artifact import Metrics
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.sections import IngestTasks
from alma.sources.unchanged import check_unchanged

PART_FILES = 4096


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Of the files' names and bytes, in hexadecimal."""
    stated = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in files)
    return hashlib.sha256(stated.encode("utf-8", "surrogatepass")).hexdigest()


def ingest_tasks(cfg: IngestTasks, identity: Mapping[str, str], base: Path, scratch: Path, out: Out) -> Metrics:
    """Publishes every file of the folder, as ``identity`` has it. Raises ``DataError`` for one without a task."""
    files = [(name, path.read_bytes()) for name, path in sources.fetch_tasks(cfg, base, scratch)]
    check_unchanged(cfg.source, identity, digest_of(files))
    rows = [
        {"id": out.row_id(place), "source_id": name, "content": content} for place, (name, content) in enumerate(files)
    ]
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["task_file"]), "task_file", PART_FILES)
    return {"num_files": len(rows), "bytes": sum(len(content) for _, content in files)}
