"""Which runs the experiments need: rows of one run and equal settings share it, whatever experiment they are of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from papers.experiment import Experiment, Row
from papers.measure import Job

Kept = dict[str, dict[str, Any]]
"""What was measured: ``key`` of a run → the run."""


def key(run: str, settings: Iterable[str], seed: int) -> str:
    """A run's name in the file of raw figures."""
    return json.dumps([run, list(settings), seed])


def wanted_of(row: Row, seed: int) -> tuple[tuple[str, str], ...]:
    """(label, metric) of what the row shows and of what its search compares."""
    label = row.at.format(seed=seed)
    return tuple((label, metric) for metric in (row.metric, row.search_by) if metric)


def jobs_of(experiments: Sequence[Experiment], seeds: Sequence[int], kept: Kept) -> list[tuple[Experiment, Job]]:
    """The runs that are missing, in the experiments' order, each with the experiment that first asks for it."""
    wanted: dict[tuple[str, tuple[str, ...], int], tuple[Experiment, dict[tuple[str, str], None]]] = {}
    for experiment in experiments:
        for row in experiment.rows:
            for settings in () if row.not_run else row.choices:
                for seed in seeds:
                    _, what = wanted.setdefault((experiment.run, settings, seed), (experiment, {}))
                    what.update(dict.fromkeys(wanted_of(row, seed)))
    found = []
    for (run, settings, seed), (experiment, what) in wanted.items():
        have = kept.get(key(run, settings, seed), {}).get("values", {})
        if any(f"{label} | {metric}" not in have for label, metric in what):
            found.append((experiment, Job(run, settings, seed, tuple(what))))
    return found


def value(kept: Kept, run: str, row: Row, settings: Sequence[str], seed: int, metric: str) -> float | None:
    """A measured metric of a row with these settings; ``None`` where it was not measured."""
    values = kept.get(key(run, settings, seed), {}).get("values", {})
    found = values.get(f"{row.at.format(seed=seed)} | {metric}")
    return None if found is None else float(found)


def chosen(kept: Kept, run: str, row: Row, seeds: Sequence[int]) -> tuple[str, ...] | None:
    """The settings that the row stands for: of a search those with the best mean; ``None`` before all are measured."""
    if not row.search:
        return row.settings
    means = {}
    for settings in row.choices:
        values = [value(kept, run, row, settings, seed, row.search_by) for seed in seeds]
        measured = [each for each in values if each is not None]
        if not measured:
            return None
        means[settings] = sum(measured) / len(measured)
    return max(means, key=lambda each: means[each])


def load_kept(path: Path) -> Kept:
    """The raw figures of before; failed runs are tried again."""
    if not path.exists():
        return {}
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return {key(run["run"], run["settings"], run["seed"]): run for run in runs}


def save_kept(path: Path, kept: Kept, facts: dict[str, Any]) -> None:
    """Writes the raw figures, a run a line, whole or not at all."""
    runs = [json.dumps(kept[name], sort_keys=True) for name in sorted(kept)]
    text = '{"facts": ' + json.dumps(facts, sort_keys=True) + ',\n"runs": [\n' + ",\n".join(runs) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
