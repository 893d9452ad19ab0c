"""Where one attempt at a stage publishes its result: parts as they are finished, the manifest at the end.

Why several attempts at once do not harm each other is said in ``alma.artifact.parts``.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from alma.artifact.checkpoints import Checkpoints
from alma.artifact.manifest import File, Manifest, Metrics, Ref, find_manifest, row_id
from alma.artifact.parts import Part, Parts
from alma.artifact.records import SCHEMAS
from alma.artifact.seal import libraries, publish_folder
from alma.artifact.shard import Shard, ShardDone
from alma.artifact.statement import METADATA, described, summed
from alma.artifact.tables import read_part
from alma.errors import ConfigError, Stopped, TransientError
from alma.progress import Emit, Progress, silent
from alma.store import Store
from alma.store.cache import cached

__all__ = ["Out", "Part"]

MOST_PARTS = 10**6
"""Of an artifact: each is two objects of the store, and a line of what one process keeps in mind."""


class Out:
    """The one output of a stage.

    ``title`` is what people call it: the run and the step. ``scratch`` is a folder of this machine that the next
    attempt finds after a kill. ``stopping()`` becomes true when the process is asked to stop; the stage then publishes
    its finished parts and raises ``Stopped``.
    """

    def __init__(
        self,
        store: Store,
        ref: Ref,
        scratch: Path,
        *,
        emit: Emit = silent,
        stopping: Callable[[], bool] = lambda: False,
        shard: Shard | None = None,
        title: str | None = None,
    ) -> None:
        self.store = store
        self.ref = ref
        self.scratch = scratch
        self.shard = shard
        self.title = title or str(ref)
        self.stopping = stopping
        self.check_hashes: Callable[[Mapping[str, str]], None] = lambda _: None
        """Hears name → SHA-256 of the files of ``folder`` before any of them is published; it raises to refuse them."""
        self._emit = emit
        self._schema: str | None = None
        self._checkpoints: Checkpoints | None = None
        self._parts = Parts(store, ref, scratch, self.note)
        self._start = self._part_start = time.monotonic()
        self._seconds_in_parts = 0.0

    def row_id(self, index: int) -> str:
        """The id of row ``index`` of this artifact."""
        return row_id(self.ref, index)

    def progress(self, total: int, unit: str, done_before: int = 0) -> Progress:
        """Starts a bar of ``total`` units."""
        return Progress(self._emit, total, unit, done_before)

    def note(self, message: str, **facts: Any) -> None:
        """Reports a message for a person, about something that no metric says."""
        self._emit({"event": "note", "message": message, **facts})

    # Rows

    def parts(self, num_rows: int, part_rows: int) -> tuple[list[Part], int]:
        """The parts (of this shard) that are not published yet, and the number of rows of those that are.

        Raises ``ConfigError`` for more parts than can be kept track of.
        """
        if num_rows > MOST_PARTS * part_rows:
            raise ConfigError(
                f"{self.ref}: {num_rows:,} rows in parts of {part_rows:,} are more than {MOST_PARTS:,} parts; raise "
                "part_rows, or ask for fewer rows"
            )
        layout = [
            Part(index, start, min(start + part_rows, num_rows))
            for index, start in enumerate(range(0, num_rows, part_rows))
        ]
        self._parts.lay_out(layout)
        mine = [part for part in layout if not self.shard or self.shard.holds(part.number)]
        published = self._parts.stated(mine.__contains__)
        pending, done = [], 0
        for part in mine:
            if part.name in published:
                done += part.stop - part.start
            else:
                pending.append(part)
        return pending, done

    def each(self, num_rows: int, part_rows: int, unit: str) -> Iterator[tuple[Part, Progress]]:
        """Walks the unpublished parts with a progress bar over all rows; raises ``Stopped`` between parts.

        In a shard it walks that shard's parts and raises ``ShardDone`` after the last, since the rest of a stage needs
        all parts. ``alma.artifact.shard.SEAL`` walks none and checks that all are published.
        """
        pending, done = self.parts(num_rows, part_rows)
        if self.shard and self.shard.seals and pending:
            raise TransientError(
                f"{self.ref}: {len(pending)} of {-(-num_rows // part_rows)} parts are not published yet, the first is "
                f"{pending[0].name}; run the shards again, then seal"
            )
        total = done + sum(part.stop - part.start for part in pending)
        with self.progress(total, unit, done_before=done) as progress:
            # Work on several parts may overlap: each counts the time since the part before it was published.
            self._part_start = time.monotonic()
            for part in pending:
                self.check_stop()
                yield part, progress
        if self.shard and not self.shard.seals:
            raise ShardDone(total)

    def check_stop(self) -> None:
        """Raises ``Stopped`` if the process was asked to stop."""
        if self.stopping():
            raise Stopped(f"{self.ref}: stopped as asked; finished parts are published, run again to go on")

    def publish(
        self,
        part: Part,
        schema: str,
        rows: Sequence[Mapping[str, Any]] | pa.Table,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Publishes one part, whole or not at all. ``counts`` are summed over all parts into the metrics.

        ``schema`` names a schema of ``alma.artifact.records``; rows that do not fit it raise ``pyarrow.ArrowInvalid``.
        """
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=SCHEMAS[schema])
        table = table.select(SCHEMAS[schema].names).cast(SCHEMAS[schema])
        table.validate(full=True)
        assert part.stop - part.start == table.num_rows, f"{part} got {table.num_rows} rows"
        counts = {name: int(amount) for name, amount in (counts or {}).items()}  # NumPy's too
        table = table.replace_schema_metadata({METADATA: described(self.ref, part.start, schema, counts)})
        path = self.scratch / f"{part.number:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")
        seconds = time.monotonic() - self._part_start
        self._seconds_in_parts += seconds
        self._parts.publish(part, path, schema, table.num_rows, counts, seconds)
        path.unlink()
        self._part_start = time.monotonic()

    def write(self, table: pa.Table, schema: str, part_rows: int) -> None:
        """Publishes a table as parts; for stages that compute all rows at once."""
        self._schema = schema
        pending, _ = self.parts(table.num_rows, part_rows)
        for part in pending:
            self.publish(part, schema, table.slice(part.start, part.stop - part.start))

    def counts(self) -> dict[str, int]:
        """The sums of ``publish``'s counts over all published parts, of earlier attempts too."""
        return summed(self._parts.settled())

    def counts_so_far(self) -> dict[str, int]:
        """As ``counts``, of the parts that are there when others are not yet; for what can be known before the end."""
        return summed(self._parts.stated().values())

    def read_back(self, columns: list[str]) -> list[dict[str, Any]]:
        """Columns of all published rows, in order; for metrics over all rows."""
        rows: list[dict[str, Any]] = []
        for stated in self._parts.settled():
            path = cached(self.store, f"{self.ref}/{stated.file}", stated.size, stated.sha256)
            rows.extend(read_part(path, stated.schema_name, columns).to_pylist())
        return rows

    def aside(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes bad rows with their reasons to ``aside.jsonl``, beside the artifact and not part of it."""
        if rows:
            buffer = io.StringIO()
            for row in rows:
                buffer.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            self.store.write(f"{self.ref}/aside.jsonl", buffer.getvalue().encode("utf-8", "replace"))

    # Folders

    @property
    def folder(self) -> Path:
        """A folder whose files become the artifact; empty at the start of every attempt."""
        path = self.scratch / "folder"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clear_folder(self) -> None:
        """Removes what an earlier attempt left in ``folder``."""
        shutil.rmtree(self.scratch / "folder", ignore_errors=True)

    def checkpoints(self) -> Checkpoints:
        """The checkpoints of a training in the store, kept until the artifact is sealed."""
        self._checkpoints = Checkpoints(self.store, self.ref, self.note)
        return self._checkpoints

    # The end

    def seal(
        self,
        *,
        kind: Literal["rows", "model", "page"],
        version: int,
        section: dict[str, Any],
        inputs: dict[str, str],
        identity: dict[str, str],
        metrics: Metrics,
        device: str,
    ) -> Manifest:
        """Writes ``cost.json`` and then the manifest, which seals the artifact.

        Where another attempt has sealed it meanwhile, that manifest is kept and returned.
        """
        if sealed := self._sealed():
            return sealed
        stated = self._parts.settled() if kind == "rows" else []
        if kind == "rows":
            files = [File(name=each.file, size=each.size, sha256=each.sha256, rows=each.rows) for each in stated]
            num_rows: int | None = sum(f.rows or 0 for f in files)
            schemas = {each.schema_name for each in stated}
            self._schema = schemas.pop() if schemas else self._schema
            metrics = {**self.counts(), **metrics}
        else:
            files, num_rows = publish_folder(self.store, self.ref, self.folder, self.check_hashes), None
            if sealed := self._sealed():
                return sealed
        elapsed = time.monotonic() - self._start - self._seconds_in_parts
        cost = {
            "seconds": round(elapsed + sum(each.seconds for each in stated), 3),
            "tokens": int(metrics.get("num_tokens", 0)),
            "device": device,
        }
        self.store.write(f"{self.ref}/cost.json", json.dumps(cost, sort_keys=True).encode())
        manifest = Manifest(
            stage=self.ref.stage,
            version=version,
            key=self.ref.key,
            kind=kind,
            schema_name=self._schema,
            section=section,
            inputs=inputs,
            identity=identity,
            files=tuple(files),
            num_rows=num_rows,
            metrics=metrics,
            libraries=libraries(),
        )
        self.store.write(f"{self.ref}/manifest.json", manifest.to_bytes())
        self._clean()
        return manifest

    def _sealed(self) -> Manifest | None:
        """The manifest, if another attempt was first to seal."""
        sealed = find_manifest(self.store, self.ref)
        if sealed:
            self.note(f"{self.ref} was sealed by another attempt meanwhile: that one is kept")
            self._clean()
        return sealed

    def _clean(self) -> None:
        """Removes checkpoints and scratch files: a sealed artifact needs neither."""
        if self._checkpoints:
            self._checkpoints.clear()
        shutil.rmtree(self.scratch, ignore_errors=True)
