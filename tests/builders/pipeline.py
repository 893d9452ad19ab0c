"""A run file compiled for this machine: no GPUs, sources from the repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.monitor import journal
from alma.store import open_store
from components.placement import Placement
from pipelines.compile import compile_run, documents
from tests.builders.recipe import RUN_FILE

HERE = (
    "placement.generate.gpus=0",
    "placement.train.gpus=0",
    "placement.retries=0",
    f'placement.base_folder="{RUN_FILE.parent}"',
)


def compiled(run_file: Path, overrides: Sequence[str], path: Path) -> Path:
    """Compiles a run file for this machine to ``path``."""
    compile_run(run_file, path, name="alma-test", overrides=[*overrides, *HERE])
    return path


def placement(**more: Any) -> Placement:
    """One of ``HERE``."""
    return Placement.model_validate({"generate": {"gpus": 0}, "train": {"gpus": 0}, **more})


def layers_in(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Layer, as the dashboard shows it → the key of a task → the task, of a compiled pipeline."""
    spec, _ = documents(path)
    (inner,) = (t for t in spec["root"]["dag"]["tasks"].values() if t["taskInfo"]["name"] != "finish")
    chain = spec["components"][inner["componentRef"]["name"]]["dag"]["tasks"]
    found = {}
    for task in chain.values():
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            found[task["taskInfo"]["name"]] = component["dag"]["tasks"]
    return found


def entries_in(store: Path, run: str) -> list[journal.Entry]:
    """What the steps of a run wrote into a store in a folder."""
    return journal.read(open_store(str(store)), run)
