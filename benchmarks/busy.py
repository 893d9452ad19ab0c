"""A stage of small models on a busy machine: threads that sleep while they wait, against threads that spin.

    python benchmarks/busy.py

The stage is the micro world's first training, run as ``alma run`` runs it: a process of its own. The other way is what
OpenMP does where nobody chooses: GNU's lets a waiting thread spin 300,000 rounds before it sleeps. Beside them run as
many endless loops as asked for (``--loops``, and none). Both ways must leave equal files; then they are timed in turn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import EXAMPLES, MICRO
from timing import Way, compare, machine, options, parse

from alma.artifact import Ref, find_manifest
from alma.running.stage import run
from alma.running.threads import CHOSEN_BY, POLICY
from alma.store import open_store

WAYS = {"threads sleep": {POLICY: "PASSIVE"}, "threads spin": {"GOMP_SPINCOUNT": "300000"}}
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""Ends with the process that started it, however that ends."""


class Training:
    """The stage, from nothing to sealed, with the threads of one way."""

    def __init__(self, store: Path, inputs: dict[str, Ref], epochs: float, chosen: dict[str, str]) -> None:
        self.store = store
        section = MICRO.initial.changed(epochs=epochs).model_dump_json()
        command = [sys.executable, "-m", "alma", "stage", "finetune", "--log", "json", "--store", str(store)]
        self.command = [*command, "--config", section, *(f"--in={port}={ref}" for port, ref in inputs.items())]
        self.environment = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY} | chosen

    def __call__(self, _: int) -> list[str]:
        """Trains; the hashes of the files that it left."""
        shutil.rmtree(self.store / "finetune", ignore_errors=True)
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        manifest = find_manifest(open_store(str(self.store)), Ref.parse(done.stdout.strip()))
        assert manifest is not None
        return [file.sha256 for file in manifest.files]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Endless loops beside what is timed."""
    processes = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(asked: argparse.Namespace) -> None:
    """Checks, then times without loops and with them."""
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    print(machine())
    epochs = 0.1 if asked.quick else MICRO.initial.epochs
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        folder = Path(scratch, "store")
        store = open_store(str(folder))
        model = run("ingest", MICRO.base, {}, store, base=EXAMPLES).ref
        rows = run("ingest", MICRO.sft_seeds, {"model": model}, store, base=EXAMPLES).ref
        ways = {name: Training(folder, {"model": model, "rows": rows}, epochs, each) for name, each in WAYS.items()}
        sleeping, spinning = (way(0) for way in ways.values())
        if sleeping != spinning:
            raise SystemExit("the ways leave different files")
        for loops in (asked.loops,) if asked.quick else (0, asked.loops):
            with busy(loops):
                timed = [Way(name, way, 1) for name, way in ways.items()]
                compare(f"the micro world's first training beside {loops} loops", timed, "trainings", asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--loops", type=int, default=3, help="endless loops on the same cores (default: 3)")
    main(parse(parser, loops=1))
