"""Rows as a stage after ``ingest`` reads them, and what was said beside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.artifact import Metrics, Ref, Rows, artifact_key
from alma.artifact.out import Out
from alma.sections import IngestRows
from alma.stages import ingest
from alma.store import open_store


@dataclass(frozen=True)
class Ingested:
    """The kept rows, the metrics, and the notes for a person."""

    rows: list[dict[str, Any]]
    metrics: Metrics
    notes: list[str]

    def column(self, name: str) -> list[Any]:
        """One column of the rows."""
        return [row[name] for row in self.rows]


def ingested(folder: Path, source: str, kind: str, **settings: Any) -> Ingested:
    """Takes in the file ``source`` of ``folder``. Raises as the stage does."""
    cfg = IngestRows.model_validate({"source": source, "kind": kind, **settings})
    identity = ingest.identify(cfg, folder)
    section = cfg.keyed()
    notes: list[str] = []

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "note":
            notes.append(event["message"])

    ref = Ref("ingest", artifact_key("ingest", ingest.VERSION, section, {}, identity))
    store = open_store(str(folder / "store"))
    out = Out(store, ref, folder / "scratch", emit=emit)
    metrics = ingest.run(cfg, base=folder, identity=identity, out=out)
    manifest = out.seal(
        kind="rows",
        version=ingest.VERSION,
        section=section,
        inputs={},
        identity=identity,
        metrics=metrics,
        device="cpu",
    )
    return Ingested(Rows(store, manifest).table().to_pylist(), metrics, notes)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes ``rows`` as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
