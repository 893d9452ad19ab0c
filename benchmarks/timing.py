"""Times several ways of the same work in turn, and prints what a reader needs to trust the ratio.

A machine's speed drifts, so no way is timed in one block: every repeat times each of them once, beginning with another
one each time, and a ratio is that of two neighbours in one repeat.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.arguments import whole


@dataclass(frozen=True)
class Way:
    """One way of doing the work; ``run(repeat)`` does ``units`` of it, on other seeds in every repeat."""

    name: str
    run: Callable[[int], object]
    units: int


def options(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=whole(1), default=5, help="timed runs of every way (default: 5)")
    parser.add_argument("--threads", type=whole(1), help="torch's threads (default: torch's own choice)")
    add_quick(parser)
    return parser


def add_quick(parser: argparse.ArgumentParser) -> None:
    """Adds ``--quick``, which ``parse`` heeds."""
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: shows that it works, measures nothing")


def parse(parser: argparse.ArgumentParser, **quick: Any) -> argparse.Namespace:
    """What was asked for. ``--quick`` replaces the defaults that ``quick`` names; what is given still overrules it."""
    if parser.parse_args().quick:
        parser.set_defaults(**{"repeats": 1, **quick})
    return parser.parse_args()


def compare(title: str, ways: Sequence[Way], unit: str, repeats: int) -> None:
    """Times all ways and prints a Markdown table; its last column is seconds per unit over those of the first way."""
    seconds: list[list[float]] = [[] for _ in ways]
    for repeat in range(repeats):
        for place in sorted(range(len(ways)), key=lambda each: (each + repeat) % len(ways)):
            gc.collect()
            start = time.perf_counter()
            ways[place].run(repeat)
            seconds[place].append(time.perf_counter() - start)
    print(f"\n**{title}** ({repeats} repeats; median, range in brackets)\n")
    print(f"| | {unit} | seconds | {unit}/s | time ÷ {ways[0].name} |\n|---|---|---|---|---|")
    for place, way in enumerate(ways):
        rates = [way.units / each for each in seconds[place]]
        first = [ways[0].units / each for each in seconds[0]]
        ratio = "" if place == 0 else f"{spread([a / b for a, b in zip(first, rates, strict=True)])} ×"
        print(f"| {way.name} | {way.units} | {spread(seconds[place])} | {spread(rates)} | {ratio} |", flush=True)


def spread(values: Sequence[float]) -> str:
    """Median and range, three digits each."""
    return f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"


def short(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """The machine that the figures are of."""
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    parts = [f"{len(os.sched_getaffinity(0))} cores", models[0] if models else platform.processor() or "unknown CPU"]
    if "torch" in sys.modules:
        import torch
        import transformers

        parts += [f"torch {torch.__version__} on {torch.get_num_threads()} threads"]
        parts += [f"transformers {transformers.__version__}"]
        parts += [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return " · ".join([*parts, f"load {os.getloadavg()[0]:.1f} at the start"])


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
