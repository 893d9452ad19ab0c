"""A grading that is killed goes on without paying again for what it had: real processes, signals and HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alma.sections import Chat, OpenAI
from tests.builders.bench import Bench
from tests.builders.chat_server import ChatStub
from tests.builders.results import results
from tests.builders.serving import serving

ROOT = Path(__file__).parents[2]
NUM_ANSWERS = 18


@pytest.mark.slow
def test_a_killed_grading_pays_once_for_all_but_what_was_on_its_way(tmp_path: Path) -> None:
    bench, stub = Bench(tmp_path), ChatStub()
    given = results(bench, {f"question {i}": f"answer {i}" for i in range(NUM_ANSWERS)})

    def grade(*before: str) -> int:
        openai = OpenAI(endpoint=address, model="served", max_concurrent=2)
        cfg = Chat(name="gpt", openai=openai, part_rows=8, max_bad_share=1.0)
        alma = ["stage", "appraise", "--store", bench.store.uri, "--config", cfg.model_dump_json()]
        command = [sys.executable, *before, *alma, "--in", f"results={given.ref}"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
        return done.returncode

    def killed(where: str, pattern: str, count: int) -> None:
        script = str(ROOT / "tests" / "builders" / "killed.py")
        assert grade(script, where, pattern, str(count), "--") == -signal.SIGKILL

    with serving(stub) as address:
        killed("after", r"^appraise/.*parts/.*\.json$", 1)
        assert (len(stub.bodies), stub.distinct()) == (8, 8)
        killed("step", "answers", 5)
        on_their_way = 2
        assert 8 + 5 <= len(stub.bodies) <= 8 + 5 + on_their_way
        assert grade("-m", "alma") == 0
    assert stub.distinct() == NUM_ANSWERS
    assert len(stub.bodies) <= NUM_ANSWERS + on_their_way
