"""The default against each ablation of the paper, over several seeds, with the truth known.

    python benchmarks/ablations.py examples/micro.toml --seeds 1 2 3 --store store --out docs/ablations.json

Runs of one seed share what they do not change (pool, judge, first checkpoints), and a stopped measurement goes on where
it was. Prints Markdown tables: mean ± standard error over seeds; differences to the default are paired by seed, with
Student's 95% interval, and * marks those that are none of chance at 5% after Holm's adjustment for their number.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

from timing import add_quick, parse

from alma.arguments import whole
from alma.statistics import LEVEL, holm, mean_and_error, t_interval, t_test

VARIANTS: dict[str, list[str]] = {
    "default": [],
    "DPO, best vs random": ["alma.select.pairs=best_vs_random"],
    "DPO, best vs worst": ["alma.select.pairs=best_vs_worst"],
    "DPO, ordered pair": ["alma.select.pairs=ordered_pair"],
    "integer score": ["alma.select.score=integer"],
    "no self-distillation": ["alma.distill.enabled=false"],
    "random prompts": ["alma.diversify.method=random"],
    "latest checkpoint only": ["alma.pool=latest"],
    "initial checkpoints only": ["alma.pool=initial"],
    "one initial checkpoint only": ["alma.pool=one_initial"],
    "continue from the latest": ["alma.start=latest"],
    "latest data only": ["alma.data=latest"],
    "risk-averse score": ["alma.select.score=risk_averse"],
    "length-tiered selection": ["alma.select.length_tolerance=0.25"],
}
DPO_SETTINGS = ["alma.train.packing=false", "alma.train.learning_rate=5e-5", "alma.train.epochs=2"]
"""DPO needs a lower learning rate than SFT. Not searched; the same for its three variants."""


QUICK = [
    "alma.engine=echo",
    "alma.rounds=1",
    "alma.synthesize.num_attempts=200",
    "alma.diversify.num_clusters=20",
    "alma.distill.num_prompts=20",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=4",
    "alma.curve.num_samples=2",
]
"""Settings of ``--quick``: the echo engine, whose answers say nothing about a variant."""


def overrides_of(variant: str) -> list[str]:
    """The settings that make ``variant``."""
    return VARIANTS[variant] + (DPO_SETTINGS if variant.startswith("DPO") else [])


def measure(job: tuple[str, int, str, str, list[str]]) -> dict[str, Any]:
    """One run; returns the metrics of every evaluation and of the judge's validation."""
    variant, seed, run_file, store_uri, extra = job
    from alma.config import load
    from alma.recipes.alma import alma
    from alma.running.local import Local
    from alma.store import open_store

    os.environ["HF_HUB_OFFLINE"] = "1"
    start = time.monotonic()
    cfg = load(Path(run_file), [f"alma.seed={seed}", *extra, *overrides_of(variant)])
    local = Local(open_store(store_uri), Path(run_file).resolve().parent, lambda *_: None, isolate=False)
    found: dict[str, Any] = {"variant": variant, "seed": seed}
    try:
        alma(cfg, local)
    except Exception as error:  # noqa: BLE001 - one failed run must not lose the others; it is reported
        found["error"] = f"{type(error).__name__}: {error}"
    found["evaluations"] = {
        label.partition(" ·")[0]: dict(manifest.metrics)
        for label, manifest in local.done.items()
        if manifest.stage == "evaluate"
    }
    found["judge"] = {
        label: dict(manifest.metrics) for label, manifest in local.done.items() if label.startswith("judge · validate")
    }
    found["rounds"] = {
        label: dict(manifest.metrics)
        for label, manifest in local.done.items()
        if manifest.stage in ("select", "curate")
    }
    found["seconds"] = time.monotonic() - start
    return found


def mean_error(values: list[float]) -> str:
    """Mean ± standard error over seeds."""
    if not values:
        return "–"
    mean, error = mean_and_error(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ± {error:.3f}"


def table(results: list[dict[str, Any]], metric: str) -> str:
    """A Markdown table: variants by rounds; the last column is the paired difference to the default at the end."""
    points = sorted({point for result in results for point in result["evaluations"]})
    if not points:
        return "Nothing was evaluated: every run has failed."
    last = points[-1]
    lines = [f"| | {' | '.join(points)} | {last} – default |", "|---|" + "---|" * (len(points) + 1)]
    at = {(r["variant"], r["seed"], p): m.get(metric) for r in results for p, m in r["evaluations"].items()}
    seeds = sorted({r["seed"] for r in results})
    variants = list(dict.fromkeys(r["variant"] for r in results))
    against = differences(
        {
            variant: [at[variant, s, last] - at["default", s, last] for s in seeds if _both(at, variant, s, last)]
            for variant in variants
            if variant != "default"
        }
    )
    for variant in variants:
        cells = [mean_error([at[variant, s, p] for s in seeds if at.get((variant, s, p)) is not None]) for p in points]
        lines.append(f"| {variant} | {' | '.join(cells)} | {against.get(variant, '')} |")
    return "\n".join(lines)


def _both(at: dict[tuple[str, int, str], float | None], variant: str, seed: int, point: str) -> bool:
    return all(at.get((each, seed, point)) is not None for each in (variant, "default"))


def differences(by_variant: dict[str, list[float]]) -> dict[str, str]:
    """Of each variant the mean paired difference, its 95% interval, and a * where chance is ruled out."""
    found, p_values = {}, {}
    for variant, values in by_variant.items():
        mean, error = mean_and_error(values)
        low, high = t_interval(mean, error, len(values) - 1)
        if math.isnan(low):
            found[variant] = "–" if math.isnan(mean) else f"{mean:+.3f}"
        else:
            found[variant] = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
            p_values[variant] = t_test(mean, error, len(values) - 1)
    for variant, p in zip(p_values, holm(list(p_values.values())), strict=True):
        found[variant] += " *" if p < LEVEL else ""
    return found


def judges(results: list[dict[str, Any]]) -> str:
    """Pairwise accuracy of the judge on held-out human scores, by reading and training."""
    rows: dict[str, list[float]] = {}
    for result in results:
        if result["variant"] != "default":
            continue
        for label, name in (
            ("judge · validate first", "human scores only"),
            ("judge · validate", "+ self-distillation"),
        ):
            metrics = result["judge"].get(label)
            if metrics is None:  # of a run that has failed before
                continue
            rows.setdefault(f"{name}, integer", []).append(metrics["pairwise_accuracy_integer"])
            rows.setdefault(f"{name}, real-valued", []).append(metrics["pairwise_accuracy"])
            rows.setdefault(f"{name}, mean absolute error", []).append(metrics["mean_absolute_error"])
    return "\n".join(["| judge | |", "|---|---|", *(f"| {name} | {mean_error(v)} |" for name, v in rows.items())])


def main() -> None:
    """Runs what is asked for and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--store", default="store")
    parser.add_argument("--workers", type=whole(1), default=2, help="runs at once, one thread each (default: 2)")
    parser.add_argument("--set", dest="extra", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="keep the raw figures here as JSON; existing ones are kept")
    add_quick(parser)
    options = parse(parser, seeds=[1], variants=["default", "latest data only"])
    os.environ["OMP_NUM_THREADS"] = "1"
    kept = json.loads(options.out.read_text()) if options.out and options.out.exists() else []
    have = {(r["variant"], r["seed"]) for r in kept if "error" not in r}
    results = [r for r in kept if (r["variant"], r["seed"]) in have]
    jobs = [
        (variant, seed, options.run_file, options.store, [*(QUICK if options.quick else []), *options.extra])
        for variant in options.variants
        for seed in options.seeds
        if (variant, seed) not in have
    ]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for result in pool.imap_unordered(measure, jobs):
            results.append(result)
            last = list(result["evaluations"].items())[-1:]
            print(
                result["variant"],
                result["seed"],
                f"{result['seconds']:.0f} s",
                result.get("error", ""),
                last,
                file=sys.stderr,
                flush=True,
            )
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    order = {variant: i for i, variant in enumerate(VARIANTS)}
    results.sort(key=lambda r: (order[r["variant"]], r["seed"]))
    for metric, title in (
        ("exact_match", "Correct answers"),
        ("judge_score", "Judge's score"),
        ("response_tokens", "Response tokens"),
    ):
        print(f"\n{title} by round\n\n{table(results, metric)}")
    print(f"\nThe judge on held-out human scores\n\n{judges(results)}")


if __name__ == "__main__":
    main()
