"""docs/paper.md: what the papers say and what came out here, made from the raw figures alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from scipy import stats

from papers.experiment import Claim, Experiment, Row
from papers.plan import Kept, chosen, key, value

HEAD = """# The papers in miniature

Written by `python benchmarks/paper.py`, from [paper.json](paper.json); the experiments are stated in
[examples/paper](../examples/paper). Every table and figure of *Alignment with Minimal Annotation*
([arXiv 2412.04305](https://arxiv.org/abs/2412.04305)) and of *Human-Instruction-Free LLM Self-Alignment with Limited
Samples* ([arXiv 2401.06785](https://arxiv.org/abs/2401.06785)), in worlds where the truth is known
([hard](../examples/hard/README.md), [isara](../examples/isara/README.md)). Models of a million parameters can only
say whether what is claimed happens there too; they say nothing about models of other sizes, and no figure here is
comparable with the paper's beside it.

**Ours** is the mean over seeds ± half of its 95% interval (Student's t). **Difference** is paired by seed, first minus
second, with its 95% interval. **Agrees**: the interval lies on the paper's side of 0; **differs**: on the other side;
**undecided**: it holds 0, or there are fewer than two seeds. Intervals are not adjusted for their number.
"""
MINUS = "−"


class Estimate(NamedTuple):
    """Mean and 95% interval over seeds."""

    mean: float
    half: float
    """Half of the interval; NaN of fewer than two seeds."""
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """The mean with Student's t interval over independent seeds."""
    count = len(values)
    mean = math.fsum(values) / count if count else math.nan
    if count < 2:
        return Estimate(mean, math.nan, count)
    variance = math.fsum((each - mean) ** 2 for each in values) / (count - 1)
    return Estimate(mean, float(stats.t.ppf(0.975, count - 1)) * math.sqrt(variance / count), count)


def verdict(difference: Estimate) -> str:
    """Whether a difference that the paper says is above 0 is so here."""
    if difference.count < 2 or not abs(difference.mean) > difference.half:
        return "undecided"
    return "agrees" if difference.mean > 0 else "differs"


def page(experiments: Sequence[Experiment], kept: Kept, facts: dict[str, Any]) -> str:
    """The whole page."""
    parts, found = [], []
    for experiment in sorted(experiments, key=lambda each: each.source.partition(",")[0]):  # a paper after the other
        text, verdicts = section(experiment, kept)
        parts.append(text)
        found += verdicts
    if not kept:
        return "\n".join([HEAD, "Nothing is measured yet.\n", *parts]).rstrip() + "\n"
    counts = ", ".join(f"{found.count(name)} {name}" for name in ("agrees", "differs", "undecided", "not run"))
    tested = sum(name != "not run" for name in found)
    chance = f"of {tested} intervals {0.05 * tested:.1f} would miss 0 by chance if nothing made a difference"
    took = f"{len(kept)} runs, {sum(run.get('cpu_seconds', 0) for run in kept.values()) / 3600:.1f} processor hours"
    head = f"{took}, on {facts.get('machine', 'an unnamed machine')}. Claims: {counts}; {chance}.\n"
    return "\n".join([HEAD, head, *parts]).rstrip() + "\n"


def section(experiment: Experiment, kept: Kept) -> tuple[str, list[str]]:
    """One experiment, and the verdicts on its claims."""
    seeds = sorted({run["seed"] for run in kept.values()})
    lines = [f"## {experiment.source}: {experiment.title}", ""]
    lines += [f"`examples/{experiment.run}`. Ours: {experiment.measures}. The paper's: {experiment.theirs}."]
    lines += [experiment.note] if experiment.note else []
    lines += ["", "| | paper | ours | seeds |", "|---|---|---|---|"]
    lines += [_row(experiment, row, kept, seeds) for row in experiment.rows]
    verdicts: list[str] = []
    if experiment.claims:
        lines += ["", "| the paper | difference | |", "|---|---|---|"]
        for claim in experiment.claims:
            line, name = _claim(experiment, claim, kept, seeds)
            lines.append(line)
            verdicts.append(name)
    return "\n".join([*lines, ""]), verdicts


def values_of(experiment: Experiment, row: Row, kept: Kept, seeds: Sequence[int]) -> dict[int, float]:
    """What the row measured, by seed."""
    settings = None if row.not_run else chosen(kept, experiment.run, row, seeds)
    if settings is None:
        return {}
    found = {seed: value(kept, experiment.run, row, settings, seed, row.metric) for seed in seeds}
    return {seed: each for seed, each in found.items() if each is not None}


def _row(experiment: Experiment, row: Row, kept: Kept, seeds: Sequence[int]) -> str:
    values = values_of(experiment, row, kept, seeds)
    name, said = row.name, row.paper or "–"
    if not values:
        return f"| {name} | {said} | not run: {_reason(experiment, row, kept, seeds)} | 0 |"
    if row.search:
        settings = chosen(kept, experiment.run, row, seeds) or ()
        own = ", ".join(each.rpartition(".")[2] for each in settings[len(row.settings) :])
        name += f" ({own} is best of {len(row.search)})"
    return f"| {name} | {said} | {_interval(estimate(list(values.values())))} | {len(values)} |"


def _reason(experiment: Experiment, row: Row, kept: Kept, seeds: Sequence[int]) -> str:
    """Why there is no figure."""
    if row.not_run:
        return row.not_run
    runs = [kept.get(key(experiment.run, each, seed), {}) for each in row.choices for seed in seeds]
    errors = [str(run["error"]).splitlines()[0] for run in runs if "error" in run]
    return errors[0].replace("|", "\\|")[:160] if errors else "no time yet"


def _claim(experiment: Experiment, claim: Claim, kept: Kept, seeds: Sequence[int]) -> tuple[str, str]:
    better, than = (values_of(experiment, experiment.row(name), kept, seeds) for name in (claim.better, claim.than))
    sign = -1 if experiment.lower_is_better else 1
    both = [sign * (better[seed] - than[seed]) for seed in better if seed in than]
    if not both:
        return f"| {claim.says} | – | not run |", "not run"
    found = estimate(both)
    shown = Estimate(sign * found.mean, found.half, found.count)
    return f"| {claim.says} | {_interval(shown, signed=True)} | **{verdict(found)}** |", verdict(found)


def _interval(found: Estimate, *, signed: bool = False) -> str:
    mean = f"{found.mean:+.3f}" if signed else f"{found.mean:.3f}"
    half = "" if math.isnan(found.half) else f" ± {found.half:.3f}"
    return f"{mean}{half}".replace("-", MINUS)
