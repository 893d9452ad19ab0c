"""DPO's first margins, in every way of sharing a training and in both arithmetics, by processes started once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from alma.engines import Training
from alma.engines.protocols import PairLogprobs
from alma.sections import Finetune
from tests.builders.training import PREFERENCES, settings

SPEC, MARGINS = "spec.json", "margins.json"

BETA = 10.0
"""So strong that rounding shows: a margin is this much times a difference of log-probabilities."""

Case = tuple[str, str, bool]
"""How a training is shared, its arithmetic, and whether the rows bring what the reference thinks of them."""


def dpo(way: str, dtype: str, num_devices: int) -> Finetune:
    """One step over 7 pairs, of which two devices read 2 and 2, and 2 and 1."""
    shared = {"parallel": way, "num_devices": num_devices, "micro_batch_rows": 2, "batch_rows": 7}
    return settings("dpo", epochs=1, beta=BETA, dtype=dtype, **shared)


def first_margins(
    start: Path, references: Mapping[str, Sequence[PairLogprobs]], cases: Sequence[Case], folder: Path
) -> list[float]:
    """The margin of ``PREFERENCES`` before anything is learnt, by two processes, in each case.

    ``references`` are by the arithmetic that they were read in.
    """
    folder.mkdir()
    read = {dtype: [[each.chosen, each.rejected, each.digest] for each in rows] for dtype, rows in references.items()}
    (folder / SPEC).write_text(json.dumps({"start": str(start), "references": read, "cases": cases}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "-m", __name__, str(folder)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[float] = json.loads((folder / MARGINS).read_text())
    return found


def main(folder: Path) -> None:
    """One of the processes: all trainings, one after the other, since starting takes longest."""
    from datasets import Dataset

    from alma.engines.trl.attempt import attempt
    from alma.engines.trl.rows import tokenize

    spec = json.loads((folder / SPEC).read_text())
    found: list[float] = []
    for place, (way, dtype, brings) in enumerate(spec["cases"]):
        training = Training(
            model=Path(spec["start"]),
            rows=PREFERENCES,
            reference=[PairLogprobs(*each) for each in spec["references"][dtype]] if brings else None,
            out=folder / f"{place}-out",
            scratch=folder / f"{place}-{os.environ['RANK']}",
            on_step=lambda _, __, row: found.append(row["margin"]),
        )
        cfg = dpo(way, dtype, 2)
        attempt(cfg, training, Dataset.from_list(tokenize(cfg, training).rows), None, lambda _: None)
    if os.environ["RANK"] == "0":
        (folder / MARGINS).write_text(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
