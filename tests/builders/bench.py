"""One stage at a time: input rows made by hand, a stage function run on them, its rows read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from alma.artifact import Artifact, Model, Rows, row_id
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.store import open_store
from tests.builders import sealed


class Bench:
    """Makes input rows, runs a stage function, reads its rows."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(str(folder / "store"))
        self.folder = folder
        self.count = 0

    def out(self, stage: str) -> Out:
        self.count += 1
        return Out(self.store, sealed.named(stage, self.count), self.folder / f"scratch{self.count}")

    def rows(self, schema: str, rows: list[dict[str, Any]]) -> Rows:
        out = self.out("ingest")
        blank = {field.name: None for field in SCHEMAS[schema]}
        full = [blank | {"id": row_id(out.ref, i)} | row for i, row in enumerate(rows)]
        out.write(pa.Table.from_pylist(full, schema=SCHEMAS[schema]), schema, 7)
        return self.seal(out, {})

    def model(self, folder: Path, template: str) -> Model:
        """A folder as the artifact of a training, with this chat template."""
        out = self.out("finetune")
        shutil.copytree(folder, out.folder, dirs_exist_ok=True)
        (out.folder / "chat_template.jinja").write_text(template)
        sealed.seal(out, "model")
        model = Artifact.open(self.store, out.ref)
        assert isinstance(model, Model)
        return model

    def seal(self, out: Out, metrics: dict[str, Any]) -> Rows:
        sealed.seal(out, "rows", metrics)
        rows = Artifact.open(self.store, out.ref)
        assert isinstance(rows, Rows)
        return rows

    def run(self, module: Any, cfg: Any, **inputs: Any) -> Rows:
        out = self.out(module.__name__.rpartition(".")[2])
        return self.seal(out, module.run(cfg, **inputs, out=out))
