"""Takes in what people bring: rows with human labels, models, tasks. Everything is checked here, first.

The artifact's name follows from the content, not from where it lay: the same file elsewhere is the same artifact.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from alma import sources
from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.errors import DataError
from alma.prompts.conversation import column
from alma.sections import IngestModel, IngestRows, IngestTasks
from alma.sources import models
from alma.sources.answers import answers
from alma.sources.columns import Columns, explain_missing
from alma.sources.held_out import held_out
from alma.sources.ids import Ids
from alma.sources.lengths import Lengths
from alma.sources.row import Bad, Row
from alma.sources.rows import column_names, read_rows
from alma.sources.unchanged import fetch_unchanged
from alma.sources.values import Fault
from alma.stages.ingest.model import ingest_model
from alma.stages.ingest.tasks import digest_of, ingest_tasks
from alma.store.cache import sha256_file

VERSION = 3
PART_ROWS = 65536
NUM_SHOWN = 5

RECORDS = {"pairs": "pair", "scores": "score", "prompts": "evaluation_prompt"}


def identify(cfg: IngestRows | IngestModel | IngestTasks, base: Path) -> dict[str, str]:
    """What the source holds now: content hashes, or the pinned commit on the Hub.

    A relative ``cfg.source`` starts at ``base``. An ``s3://`` source is read in full.
    Raises ``DataError`` where nothing is there.
    """
    if sources.scheme(cfg) == "hf" and not isinstance(cfg, IngestTasks):
        from alma.sources import hub

        return hub.identity(cfg)
    with TemporaryDirectory(prefix="alma-") as scratch:
        if isinstance(cfg, IngestModel):
            folder = sources.fetch_model(cfg, base, Path(scratch))
            return {"sha256": models.digest(folder, cfg.source, cfg.task)}
        if isinstance(cfg, IngestTasks):
            files = sources.fetch_tasks(cfg, base, Path(scratch))
            return {"sha256": digest_of((name, path.read_bytes()) for name, path in files)}
        (path,) = sources.fetch_rows(cfg, base, Path(scratch))
        return {"format": path.suffix.lower(), "sha256": sha256_file(path)}


def run(
    cfg: IngestRows | IngestModel | IngestTasks,
    *,
    model: Model | None = None,
    seeds: Rows | None = None,
    scores: Rows | None = None,
    asked: Rows | None = None,
    base: Path,
    identity: Mapping[str, str],
    out: Out,
) -> Metrics:
    """Publishes the rows or the model that ``cfg.source`` names. Raises ``DataError`` with what to mend.

    ``identity`` is what ``identify`` found, which the artifact is named by; ``TransientError`` where the source holds
    another thing by now.
    With ``model``, rows that its context cannot hold are bad rows, and its chat template has to write their turns.
    ``seeds`` and ``scores`` are what is trained on: rows of a held-out set that are among them are refused, left out or
    counted, as ``cfg.overlap`` says. ``asked`` are the evaluation prompts that the rows have to answer
    (``alma.sources.answers``).
    """
    scratch = out.scratch / "source"
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    scratch.mkdir(parents=True)
    try:
        if isinstance(cfg, IngestModel):
            return ingest_model(cfg, identity, base, scratch, out)
        if isinstance(cfg, IngestTasks):
            return ingest_tasks(cfg, identity, base, scratch, out)
        trained = {port: rows for port, rows in (("seeds", seeds), ("scores", scores)) if rows is not None}
        return _rows(cfg, fetch_unchanged(cfg, identity, base, scratch), model, trained, asked, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass(slots=True)
class _Read:
    """What has been read so far."""

    ids: Ids
    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: list[tuple[str, Bad]] = field(default_factory=list)  # where it stands, in words
    num_read: int = 0
    num_duplicates: int = 0
    first: Row | None = None
    contents: set[tuple[Any, ...]] = field(default_factory=set)

    def add(self, row: dict[str, Any], where: str, place: str) -> None:
        """Keeps ``row`` unless the same stands there already; without an id it will be named by its ``place``."""
        content = tuple(value for name, value in row.items() if name != "id")
        if content in self.contents:
            self.num_duplicates += 1
            return
        self.contents.add(content)
        self.ids.add(row["id"], where, place)
        self.rows.append(row)


def _rows(
    cfg: IngestRows,
    paths: list[Path],
    model: Model | None,
    trained: dict[str, Rows],
    asked: Rows | None,
    out: Out,
) -> Metrics:
    columns = Columns(cfg.kind, cfg.columns, cfg.system_turn, cfg.turns)
    with sources.being_read(cfg.source):
        read = _read(cfg, paths, columns, Lengths(model.folder) if model else None)
    _check_usable(cfg, paths, columns, read)
    if model is not None and any(row["earlier"] for row in read.rows):
        _check_turns(cfg, model, read.rows)
    unused = read.ids.unused()
    counted = [f"{num} of {read.num_read} rows: {what}" for what, num in columns.roles.said.items()]
    for said in filter(None, [*counted, unused]):
        out.note(f"{cfg.source}: {said}")
    out.aside([{"where": where, "reason": b.reason, "detail": b.detail, "row": b.raw} for where, b in read.bad])
    read.rows, overlaps = held_out(cfg, read.rows, trained, out)
    read.rows, answered = answers(cfg, read.rows, asked, out)
    record = RECORDS[cfg.kind]
    if any(row.get("true_references") for row in read.rows):
        record = "referenced_prompt"
    if "harmful" in cfg.columns:
        record = "safety_prompt"
    table = pa.Table.from_pylist(
        [{"id": out.row_id(i), "source_id": row.pop("id"), **row} for i, row in enumerate(read.rows)],
        schema=SCHEMAS[record],
    )
    out.write(table, record, PART_ROWS)
    means: Metrics = {
        f"mean_{name}_chars": sum(len(row[name]) for row in read.rows) / len(read.rows)
        for name in ("prompt", "response")
        if name in table.column_names
    }
    return {
        "num_read": read.num_read,
        "num_rows": len(read.rows),
        "num_duplicates": read.num_duplicates,
        "num_bad": len(read.bad),
        **overlaps,
        **answered,
        **means,
    }


def _check_turns(cfg: IngestRows, model: Model, rows: list[dict[str, Any]]) -> None:
    from alma.engines.chat import check_conversations

    try:
        check_conversations(model.folder, rows)
    except DataError as error:
        raise DataError(f"{cfg.source}: {error}") from error


def _read(cfg: IngestRows, paths: list[Path], columns: Columns, lengths: Lengths | None) -> _Read:
    """Reads until ``cfg.limit`` distinct good rows are there."""
    read = _Read(Ids(columns.theirs["id"], columns.id_is_named))
    for where, path, found in _all(paths, columns):
        if len(read.rows) == cfg.limit:
            break
        read.num_read += 1
        if isinstance(found, Bad):
            read.bad.append((where, found))
            continue
        read.first = read.first or found
        try:
            row = columns.read(found.values, numbers_are_text=path.suffix.lower() == ".csv")
            if lengths is not None:
                lengths.check(row)
            read.add(row, where, str(found.line) if len(paths) == 1 else f"{path.stem}:{found.line}")
        except Fault as fault:
            read.bad.append((where, Bad(found.line, fault.reason, fault.detail, found.values)))
    for row, each in zip(read.rows, read.ids.decided(), strict=True):
        row |= {"id": each, "earlier": column(row.get("earlier", ()))}
    return read


def _all(paths: list[Path], columns: Columns) -> Iterator[tuple[str, Path, Row | Bad]]:
    for path in paths:
        unit = "row" if path.suffix.lower() == ".parquet" else "line"
        prefix = f"{path.name} " if len(paths) > 1 else ""
        for found in read_rows(path, columns.wanted):
            yield f"{prefix}{unit} {found.line}", path, found


def _check_usable(cfg: IngestRows, paths: list[Path], columns: Columns, read: _Read) -> None:
    """Raises ``DataError`` where too little is usable, on one screen."""
    name = cfg.source
    if read.num_read == 0:
        raise DataError(f"{name}: holds no rows")
    if read.first is not None:
        for ours in columns.never_found():
            there = column_names(paths[0], read.first)
            raise DataError(f"{name}: {explain_missing(ours, columns.theirs[ours], there)}")
    repeated = read.ids.repeated()
    if repeated is not None:
        raise DataError(f"{name}: {repeated}")
    share = len(read.bad) / read.num_read
    if share > cfg.max_bad_share or not read.rows:
        shown = "".join(f"  {where}: {bad.detail}\n" for where, bad in read.bad[:NUM_SHOWN])
        more = f"  … and {len(read.bad) - NUM_SHOWN} more\n" if len(read.bad) > NUM_SHOWN else ""
        reasons = ", ".join(f"{n} × {reason}" for reason, n in Counter(b.reason for _, b in read.bad).most_common(8))
        remedy = "mend them"
        if read.rows:
            remedy += f", or set max_bad_share = {_rounded_up(share)} to have such rows set aside"
        raise DataError(
            f"{name}: {len(read.bad)} of {read.num_read} rows are not usable "
            f"(max_bad_share = {cfg.max_bad_share:g})\n{shown}{more}By reason: {reasons}. Remedy: {remedy}"
        )


def _rounded_up(share: float) -> float:
    return math.ceil(share * 1000 - 1e-9) / 1000  # 0.2 is 0.2000000000000000111
