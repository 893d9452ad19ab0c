"""A training as a stage in a process of its own, to be told to stop or killed.

``python training_process.py STORE SECTION MODEL ROWS`` is that process.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from alma import progress
from alma.artifact import Ref
from alma.artifact.out import Out
from alma.errors import AlmaError
from alma.progress import Event
from alma.running import stage as stage_run
from alma.running.stopping import stop_signals
from alma.sections import Finetune
from alma.store import Store, open_store
from tests.builders.sealed import named, seal
from tests.builders.training import PAIRS


def inputs(store: Store, start: Path, folder: Path) -> dict[str, Ref | None]:
    """The start model and the rows as sealed artifacts."""
    model = Out(store, named("ingest", "model"), folder / "model")
    shutil.copytree(start, model.folder, dirs_exist_ok=True)
    seal(model, "model")
    rows = Out(store, named("ingest", "rows"), folder / "rows")
    table = [{"id": str(i), "source_id": str(i)} | row for i, row in enumerate(PAIRS)]
    rows.publish(rows.parts(len(table), len(table))[0][0], "pair", table)
    seal(rows, "rows")
    return {"model": model.ref, "rows": rows.ref}


def begin(store_uri: str, given: dict[str, Ref | None], log: Path, cfg: Finetune) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, store_uri, cfg.model_dump_json(), str(given["model"]), str(given["rows"])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def wait_while(process: subprocess.Popen[bytes], log: Path, what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


def checkpoint_steps(store: Store) -> list[int]:
    found = [re.search(r"/checkpoints/(\d+)\.json$", name) for name in store.list("finetune")]
    return [int(each[1]) for each in found if each]


def main(uri: str, section: str, model: str, rows: str) -> int:
    """Slow once there is something to go on from, so that it can be killed there."""

    def emit(event: Event) -> None:
        if event["event"] == "progress" and event["done"] > 5:
            time.sleep(0.3)

    cfg = Finetune.model_validate_json(section)
    given: dict[str, Ref | None] = {"model": Ref.parse(model), "rows": Ref.parse(rows)}
    with stop_signals() as stopping:
        try:
            stage_run.run("finetune", cfg, given, open_store(uri), emit=emit, stopping=stopping)
        except AlmaError as error:
            print(error)
            return error.exit_code
    return 0


if __name__ == "__main__":
    progress.INTERVAL_SECONDS = 0.0
    sys.exit(main(*sys.argv[1:]))
