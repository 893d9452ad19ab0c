"""Trainings in a process of its own whose address space is bounded.

``python short_of_memory.py SECTION MODEL FOLDER MIB…`` is that process: it trains once for every MIB, with so much more
than it holds just before, and says how each went, in lines that begin with ``MIB:``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from alma.engines.checkpoints import NOWHERE
from alma.errors import ConfigError
from alma.sections import Finetune
from tests.builders.training import place, train

LONG = [{"prompt": "abc", "response": "abcdefgh" * 7} for _ in range(8)]


def run(cfg: Finetune, start: Path, folder: Path, *mib: int) -> subprocess.CompletedProcess[str]:
    """Runs the process to its end."""
    command = [sys.executable, __file__, cfg.model_dump_json(), str(start), str(folder), *map(str, mib)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)


class Loud:
    """A store of checkpoints that says on standard output what it is told to."""

    sending = None

    def __init__(self, name: str) -> None:
        self.name = name

    fetch, send, flush = NOWHERE.fetch, NOWHERE.send, NOWHERE.flush
    most_rows, set_most_rows = NOWHERE.most_rows, NOWHERE.set_most_rows

    def say(self, message: str) -> None:
        print(f"{self.name}: {message}", flush=True)


def main(section: str, start: str, folder: str, *mib: str) -> None:
    cfg, wide, place_of = Finetune.model_validate_json(section), Path(start), Path(folder)
    warm = cfg.changed(micro_batch_rows=1, batch_rows=1)
    train(warm, place(wide, place_of / "warm", LONG[:1]))  # loads what a training loads, and starts its threads
    for each in mib:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + int(each) * 2**20, resource.RLIM_INFINITY))
        try:
            train(cfg, replace(place(wide, place_of / each, LONG), remote=Loud(each)))
        except ConfigError as error:
            print(f"{each}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
