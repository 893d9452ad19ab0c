"""The scripts of ``benchmarks/``, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from alma.plan.rates import Rate, read_rates

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


def call(name: str, *arguments: str) -> str:
    """What a benchmark prints, run with ``--quick``."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, cwd=BENCHMARKS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
