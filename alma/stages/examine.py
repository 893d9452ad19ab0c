"""What a checkpoint reaches in tasks of lm-evaluation-harness: whether a gain in style costs knowledge."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.engines import Mark, load_examiner
from alma.sections import Harness

VERSION = 1


def run(cfg: Harness, *, model: Model, folder: Rows | None = None, out: Out) -> Metrics:
    """A row for each metric of each task, and of each group that has a number of its own.

    Tasks and their data are found before the model is fetched or loaded. An attempt that was killed goes on behind the
    last name of ``cfg.tasks`` that was held to its end.
    """
    kept = out.scratch / "held"
    kept.mkdir(parents=True, exist_ok=True)
    found: list[Mark] = []
    with (
        load_examiner(cfg, None if folder is None else _written(folder, out.scratch / "tasks")) as examiner,
        out.progress(len(cfg.tasks), "tasks") as progress,
    ):

        def hear(_: int) -> None:
            out.check_stop()
            progress.advance(0)

        for place, name in enumerate(cfg.tasks):
            path = kept / f"{place:04d}.json"
            if not path.is_file():
                out.check_stop()
                _keep(path, examiner.hold(name, model.folder, on_requests=hear))
            found += [Mark(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
            progress.advance()
    rows = [
        {"id": out.row_id(place), "checkpoint_id": str(model.ref), **asdict(mark)} for place, mark in enumerate(found)
    ]
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["exam"]), "exam", max(1, len(rows)))
    return summary(found)


def summary(found: Sequence[Mark]) -> Metrics:
    """``task.metric``, and its standard error where the task states one; what is not finite is in the rows alone."""
    metrics: Metrics = {"num_tasks": len({mark.task for mark in found})}
    for mark in found:
        if math.isfinite(mark.value):
            metrics[f"{mark.task}.{mark.metric}"] = mark.value
            if mark.error is not None:
                metrics[f"{mark.task}.{mark.metric}_error"] = mark.error
    return metrics


def _keep(path: Path, found: Sequence[Mark]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps([asdict(mark) for mark in found]), encoding="utf-8")
    part.replace(path)


def _written(folder: Rows, place: Path) -> Path:
    """The task folder on this machine."""
    folder.expect("task_file")
    for row in folder.table(["source_id", "content"]).to_pylist():
        path = place / row["source_id"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["content"])
    return place
