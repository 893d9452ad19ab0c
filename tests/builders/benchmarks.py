"""The scripts of ``benchmarks/``, run as a user runs them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from alma.plan.rates import Rate, read_rates
from tests.builders.warm import Warm

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

RATES = {
    "sft": [("train", "trl")],
    "dpo_reference": [],
    "generation": [("generate", "vllm")],
    "judging": [("read", "vllm")],
    "embedding": [("embed", "vllm"), ("embed", "hf")],
    "swap": [],
    "replicas": [],
}
"""Benchmark that prints JSON → the (work, engine) that it measures for ``alma plan``."""


OF_VLLM = RATES.keys() - {"sft", "dpo_reference"}
"""Those that measure vLLM, which has a virtual environment and processes of its own."""


@functools.cache
def warm() -> Warm:
    """What benchmarks are forked from, once for all: importing torch and TRL takes longer than most of them."""
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(Warm(also=["trl.trainer.sft_trainer"]))


def call(name: str, *arguments: str) -> str:
    """What a benchmark prints."""
    script = BENCHMARKS / f"{name}.py"
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        if name in OF_VLLM:
            with out.open("w") as printed, errors.open("w") as told:
                command = [sys.executable, str(script), *arguments]
                code = subprocess.run(
                    command, stdout=printed, stderr=told, cwd=BENCHMARKS.parent, check=False, timeout=500
                ).returncode
        else:
            code = warm().script(script, arguments, out, errors).wait(500)
        assert code == 0, out.read_text() + errors.read_text()
        return out.read_text()


def run(name: str, folder: Path) -> tuple[dict[str, Any], list[Rate]]:
    """The result of a benchmark of the engines, and its rates."""
    out, rates = folder / "result.json", folder / "rates.json"
    call(name, "--quick", "--out", str(out), *(["--rates", str(rates)] if RATES[name] else []))
    result = json.loads(out.read_text())
    assert result["benchmark"] == name
    assert result["command"].split() == ["python", f"benchmarks/{name}.py", "--quick"]
    found = [read_rates(rates)] if RATES[name] else []
    assert [(rate.work, rate.engine) for several in found for rate in several] == RATES[name]
    return result, [rate for several in found for rate in several]
