"""Each form of the judge's self-distillation, and the untrained base, against a judge of human scores only.

    python benchmarks/distill.py examples/micro.toml --seeds 1 2 3 4 5 --set alma.synthesize.num_attempts=3500

Runs a recipe up to its judge, once for each form; what a seed's forms share (prompts, responses, the judge of human
scores) is made once, and a stopped measurement goes on where it was: both by the store. Prints a Markdown table: means
over seeds, and differences to the human scores only, paired by seed, with 95% intervals by Student's t.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ablations import QUICK, mean_error
from scipy import stats  # type: ignore[import-untyped]
from timing import add_quick, parse

from alma.arguments import whole

HUMAN = "human scores only"
LONGER = "human scores only, twice the epochs"
BASE = {"the base, no shots": 0, "the base, 3 shots": 3}
"""The base itself as the judge, nothing trained."""

FORMS: dict[str, list[str]] = {
    **{form: ["alma.distill.enabled=false", f"alma.base_judge_shots={shots}"] for form, shots in BASE.items()},
    HUMAN: ["alma.distill.enabled=false"],
    LONGER: ["alma.distill.enabled=false"],
    "own, soft": ["alma.judge_distill.labels=soft"],
    "own, rounded": ["alma.judge_distill.labels=rounded"],
    "own, sharpened (T 0.5)": ["alma.judge_distill.labels=sharpened"],
    "own, soft, mean of 3 judges": ["alma.judge_distill.labels=soft", "alma.distill.num_judges=3"],
    "own, rounded, mean of 3 judges": ["alma.judge_distill.labels=rounded", "alma.distill.num_judges=3"],
    "own, sharpened, mean of 3 judges": ["alma.judge_distill.labels=sharpened", "alma.distill.num_judges=3"],
    "from the base, soft": ["alma.judge_distill.labels=soft", "alma.distill.start=base"],
    "from the base, rounded": ["alma.judge_distill.labels=rounded", "alma.distill.start=base"],
    "from the base, sharpened": ["alma.judge_distill.labels=sharpened", "alma.distill.start=base"],
    "from the base, soft, mean of 3 judges": [
        "alma.judge_distill.labels=soft",
        "alma.distill.start=base",
        "alma.distill.num_judges=3",
    ],
}
"""Form → the settings that make it. ``LONGER`` is the control: as much training, and nothing of its own."""

METRICS = {
    "pairwise_accuracy_integer": "integer",
    "pairwise_accuracy": "real-valued",
    "mean_absolute_error": "absolute error",
}


def overrides_of(form: str, epochs: float) -> list[str]:
    """The settings that make ``form``, where the run file trains the judge of human scores for ``epochs``."""
    return FORMS[form] + ([f"alma.judge_seed.epochs={2 * epochs}"] if form == LONGER else [])


def measure(job: tuple[int, list[str], str, str, list[str]]) -> list[dict[str, Any]]:
    """All forms of one seed; each with the metrics of its judge on the held-out human scores."""
    seed, forms, run_file, store_uri, extra = job
    from alma.config import load
    from alma.recipes.alma import alma
    from alma.running.local import Local
    from alma.store import open_store

    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"
    path, found = Path(run_file), []
    epochs = load(path, extra).judge_seed.epochs  # type: ignore[attr-defined]
    for form in forms:
        start = time.monotonic()
        cfg = load(path, [f"alma.seed={seed}", *extra, *overrides_of(form, epochs)])
        local = Local(open_store(store_uri), path.resolve().parent, lambda *_: None, isolate=False)
        unneeded = ("round ",) if cfg.distill.enabled else ("round ", "prompts ", "initial ")  # type: ignore[attr-defined]

        def do(stage: str, section: Any, *, label: str, do: Any = local, skip: Any = unneeded, **inputs: Any) -> Any:
            # A recipe looks at no result, so a name will do for what no judge is made of.
            return label if label.startswith(skip) else do(stage, section, label=label, **inputs)

        alma(cfg, do)
        metrics = dict(local.done["judge · validate base" if form in BASE else "judge · validate"].metrics)
        found.append({"form": form, "seed": seed, **metrics})
        line = " ".join(f"{name} {metrics.get(key, float('nan')):.4f}" for key, name in METRICS.items())
        print(f"seed {seed} · {form}: {line} ({time.monotonic() - start:.0f} s)", file=sys.stderr, flush=True)
    return found


def difference(values: list[float]) -> str:
    """The mean of paired differences and half of its 95% interval, by Student's t."""
    if len(values) < 2:
        return "–"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{np.mean(values):+.4f} ± {half:.4f}"


def table(results: list[dict[str, Any]]) -> str:
    """Forms by metrics, and the differences to ``HUMAN``."""
    at = {(each["form"], each["seed"], metric): each[metric] for each in results for metric in METRICS}
    seeds = sorted({each["seed"] for each in results})
    head = [*METRICS.values(), *(f"{name} – human" for name in METRICS.values())]
    lines = [f"| judge | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for form in dict.fromkeys(each["form"] for each in results):
        means = [mean_error([at[form, seed, metric] for seed in seeds]) for metric in METRICS]
        apart = [[at[form, seed, metric] - at[HUMAN, seed, metric] for seed in seeds] for metric in METRICS]
        lines.append(f"| {form} | {' | '.join([*means, *('' if form == HUMAN else difference(d) for d in apart)])} |")
    return "\n".join(lines)


def main() -> None:
    """Measures what is asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS), metavar="NAME")
    parser.add_argument("--store", default="store")
    parser.add_argument("--workers", type=whole(1), default=1, help="seeds at once, one thread each (default: 1)")
    parser.add_argument("--set", dest="extra", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="write the figures of each seed and form here as JSON")
    add_quick(parser)
    options = parse(parser, seeds=[1], forms=["the base, 3 shots", HUMAN, LONGER, "own, rounded, mean of 3 judges"])
    forms = list(dict.fromkeys([*options.forms, HUMAN]))
    extra = [*(QUICK if options.quick else []), *options.extra]
    jobs = [(seed, forms, options.run_file, options.store, extra) for seed in options.seeds]
    results: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for found in pool.imap(measure, jobs):
            results += found
    if options.out:
        options.out.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"\nThe judge on held-out human scores, seeds {' '.join(map(str, options.seeds))}\n\n{table(results)}")
    print(f"\n{len(METRICS) * (len(forms) - 1)} differences, each at 95% by itself.")


if __name__ == "__main__":
    main()
