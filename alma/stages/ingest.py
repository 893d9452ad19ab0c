"""Takes in what people bring: rows with human labels, and the base model. Everything is checked here, first.

The artifact's name follows from the content, not from where it lay: the same file elsewhere is the same artifact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pyarrow as pa

from alma import sources
from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.errors import DataError
from alma.prompts import TOKEN_TEMPLATES, default_chat_template
from alma.sections import IngestModel, IngestRows
from alma.sources import models
from alma.sources.columns import Columns, explain_missing
from alma.sources.finite import check_finite
from alma.sources.held_out import held_out
from alma.sources.ids import Ids
from alma.sources.lengths import Lengths
from alma.sources.rows import Bad, Row, column_names, read_rows
from alma.sources.template_date import fix_date
from alma.sources.untrained import untrained
from alma.sources.values import Fault
from alma.sources.weights import num_parameters, read_json
from alma.store.cache import sha256_file

VERSION = 3
PART_ROWS = 65536
NUM_SHOWN = 5

RECORDS = {"pairs": "pair", "scores": "score", "prompts": "evaluation_prompt"}


def identify(cfg: IngestRows | IngestModel, base: Path) -> dict[str, str]:
    """What the source holds now: content hashes, or the pinned commit on the Hub.

    A relative ``cfg.source`` starts at ``base``. An ``s3://`` source is read in full.
    Raises ``DataError`` where nothing is there.
    """
    if sources.scheme(cfg) == "hf":
        from alma.sources import hub

        return hub.identity(cfg)
    with TemporaryDirectory(prefix="alma-") as scratch:
        if isinstance(cfg, IngestModel):
            folder = sources.fetch_model(cfg, base, Path(scratch))
            return {"sha256": models.digest(folder, cfg.source, cfg.task)}
        (path,) = sources.fetch_rows(cfg, base, Path(scratch))
        return {"format": path.suffix.lower(), "sha256": sha256_file(path)}


def run(
    cfg: IngestRows | IngestModel,
    *,
    model: Model | None = None,
    seeds: Rows | None = None,
    scores: Rows | None = None,
    base: Path,
    out: Out,
) -> Metrics:
    """Publishes the rows or the model that ``cfg.source`` names. Raises ``DataError`` with what to mend.

    With ``model``, rows that its context cannot hold are bad rows. ``seeds`` and ``scores`` are what is trained on:
    rows of a held-out set that are among them are refused, left out or counted, as ``cfg.overlap`` says.
    """
    scratch = out.scratch / "source"
    scratch.mkdir(parents=True, exist_ok=True)
    if isinstance(cfg, IngestModel):
        return _model(cfg, base, scratch, out)
    trained = {port: rows for port, rows in (("seeds", seeds), ("scores", scores)) if rows is not None}
    return _rows(cfg, base, scratch, Lengths(model.folder) if model else None, trained, out)


def _model(cfg: IngestModel, base: Path, scratch: Path, out: Out) -> Metrics:
    folder = sources.fetch_model(cfg, base, scratch)
    files = models.model_files(folder, cfg.source, cfg.task)
    read_json(folder / "config.json", cfg.source)  # without it, nothing else can be said
    faults = _Faults(cfg.source, out.folder)
    shapes = faults.of(models.check_model, folder, cfg.source, cfg.task)
    if shapes is not None:
        faults.of(check_finite, files, cfg.source)
    weights = [file for file in files if file.suffix == ".safetensors"]
    models.copy_model([file for file in files if file not in weights], folder, out.folder, lambda _: None)
    metrics: Metrics = {"bytes": sum(file.stat().st_size for file in files)}
    if cfg.task == "generation":
        from alma.engines.chat import chat_notes, check_chat

        metrics |= _template(cfg, out)
        faults.of(check_chat, out.folder)
        for note in [] if faults.found else [*chat_notes(out.folder), *_untrained(cfg, weights, out)]:
            out.note(f"{cfg.source}: {note}")
        metrics |= {"num_ways_left_off": faults.of(_prove, cfg.source, out) or 0}
    faults.tell()
    with out.progress(sum(file.stat().st_size for file in weights), "bytes") as progress:
        models.copy_model(weights, folder, out.folder, progress.advance)
    return {"num_parameters": num_parameters(shapes or {}), **metrics}


def _template(cfg: IngestModel, out: Out) -> Metrics:
    """Gives the copy a chat template where it has none, and fixes the day that it writes."""
    from alma.engines.chat import turns_template

    wanted = cfg.chat_template if cfg.turns is None else turns_template(out.folder, cfg.turns)
    template, tokens = default_chat_template(models.special_tokens(out.folder, cfg.source))
    added = models.add_chat_template(out.folder, cfg.source, wanted, template)
    metrics: Metrics = {"chat_template_added": int(added)}
    if cfg.turns is not None:
        out.note(f"{cfg.source}: is trained and asked in the turns of its examples, {wanted!r}")
    elif added and wanted is None:
        written = f"by the special tokens of its vocabulary, {', '.join(tokens)}" if tokens else "in plain text"
        out.note(f"{cfg.source}: has no chat template, and is given one that writes turns {written}")
        metrics |= {"chat_template_by_tokens": int(bool(tokens))}
    if fix_date(out.folder, cfg.source, cfg.day, models.TEMPLATE):
        out.note(f"{cfg.source}: the chat template writes the day; it is {cfg.date} wherever it is rendered")
        metrics |= {"chat_template_dated": 1}
    return metrics


T = TypeVar("T")


def _untrained(cfg: IngestModel, weights: list[Path], out: Out) -> list[str]:
    """What is said of a template whose tokens the model never read."""
    path = out.folder / models.TEMPLATE
    template = path.read_text(encoding="utf-8") if path.is_file() else ""
    tokens = next((tokens for tokens, ours in TOKEN_TEMPLATES.items() if ours == template), ())
    found = untrained(out.folder, weights, tokens, cfg.source)
    if not found:
        return []
    return [
        f"the model was never trained on {', '.join(found)} (their embeddings lie about zero); train all weights, or "
        "adapters on the embeddings too, or give a chat_template in plain text"
    ]


class _Faults:
    """What is wrong with a model: told all at once, so that nobody mends one fault to meet the next."""

    def __init__(self, source: str, folder: Path) -> None:
        self.source, self.folder, self.found = source, folder, list[str]()

    def of(self, check: Callable[..., T], *given: Any) -> T | None:
        """What ``check`` returns; ``None`` where it finds a fault."""
        try:
            return check(*given)
        except DataError as error:
            told = str(error).replace(str(self.folder), "the model")  # a check of the copy knows only where that lies
            self.found += [
                line if line.startswith(self.source) else f"{self.source}: {line}" for line in told.splitlines()
            ]
        return None

    def tell(self) -> None:
        """Raises one ``DataError`` with all faults, a line each."""
        if self.found:
            raise DataError("\n".join(self.found))


def _prove(source: str, out: Out) -> int:
    """Writes what is safe with the model beside it; how many ways of running it are left off.

    An installation without torch can train nothing; what it ingests is proven by the engine that loads it.
    """
    if find_spec("torch") is None:
        out.note(f"{source} is proven by the first engine that loads it: there is no torch here")
        return 0
    from alma.engines.ways import PROOF, proof_of

    proof = proof_of(out.folder)
    proof.write(out.folder / PROOF)
    for each in proof.left_off:
        said = each.problem or f"log-probabilities differ by {each.differs:g}"
        out.note(f"{source}: {each.check}: {said}; so {each.chosen}")
    return len(proof.left_off)


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
    cfg: IngestRows, base: Path, scratch: Path, lengths: Lengths | None, trained: dict[str, Rows], out: Out
) -> Metrics:
    columns = Columns(cfg.kind, cfg.columns, cfg.system_turn)
    paths = sources.fetch_rows(cfg, base, scratch)
    read = _read(cfg, paths, columns, lengths)
    _judge(cfg, paths, columns, read)
    unused = read.ids.unused()
    counted = [f"{num} of {read.num_read} rows: {what}" for what, num in columns.roles.said.items()]
    for said in filter(None, [*counted, unused]):
        out.note(f"{cfg.source}: {said}")
    out.aside([{"where": where, "reason": b.reason, "detail": b.detail, "row": b.raw} for where, b in read.bad])
    read.rows, overlaps = held_out(cfg, read.rows, trained, out)
    record = RECORDS[cfg.kind]
    if any(row.get("true_references") for row in read.rows):
        record = "referenced_prompt"
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
        **means,
    }


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
        row["id"] = each
    return read


def _all(paths: list[Path], columns: Columns) -> Iterator[tuple[str, Path, Row | Bad]]:
    for path in paths:
        unit = "row" if path.suffix.lower() == ".parquet" else "line"
        prefix = f"{path.name} " if len(paths) > 1 else ""
        for found in read_rows(path, columns.wanted):
            yield f"{prefix}{unit} {found.line}", path, found


def _judge(cfg: IngestRows, paths: list[Path], columns: Columns, read: _Read) -> None:
    """Raises ``DataError`` where too little is usable, on one screen."""
    name = cfg.source
    if read.num_read == 0:
        raise DataError(f"{name}: holds no rows ({paths[0]})")
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
