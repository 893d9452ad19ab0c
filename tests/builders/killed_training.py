"""A training in a process of its own, slow once there is something to go on from, so that it can be killed there.

``python killed_training.py SECTION MODEL FOLDER STEP SECONDS`` is that process: every step after STEP takes
SECONDS more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from alma.sections import Finetune
from tests.builders.training import PAIRS, place, train


def begin(
    cfg: Finetune, start: Path, folder: Path, output: Path, *, slow_after: int, seconds: float
) -> subprocess.Popen[bytes]:
    """Starts the training of ``PAIRS`` from ``start`` in ``folder``; what it prints goes into ``output``."""
    command = [sys.executable, __file__, cfg.model_dump_json(), str(start), str(folder), str(slow_after), str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with output.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def main(section: str, start: str, folder: str, slow_after: str, seconds: str) -> None:
    def on_step(step: int, *_: object) -> None:
        time.sleep(float(seconds) * (step > int(slow_after)))

    train(Finetune.model_validate_json(section), replace(place(Path(start), Path(folder), PAIRS), on_step=on_step))


if __name__ == "__main__":
    main(*sys.argv[1:])
