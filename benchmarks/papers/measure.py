"""One run, as far as it is asked for: the metrics that rows of the experiments want of its steps."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOR_PAGES = ("evaluate", "report", "validate", "best-of-n")
"""Words in the labels of steps that nothing but a page reads: left out where nobody wants them or a page."""
LOWEST = 19


@dataclass(frozen=True)
class Job:
    """A run: its file, its settings, its seed, and what is wanted of it as (label, metric)."""

    run: str
    settings: tuple[str, ...]
    seed: int
    wanted: tuple[tuple[str, str], ...]
    extra: tuple[str, ...] = ()
    """Settings of ``--quick``: no part of the run's name."""


class Enough(Exception):  # noqa: N818 - nothing went wrong
    """All that is wanted was measured."""


def seeded(run: str, seed: int) -> list[str]:
    """The settings that make a run the one of this seed. ISARA's repeats are its seeds, one a run."""
    return [f"isara.repeats=[{seed}]"] if run.startswith("isara") else [f"alma.seed={seed}"]


def measure(job: Job, store_uri: str) -> dict[str, Any]:
    """Runs what the wanted metrics need, nothing more; ``values`` are by "label | metric"."""
    _be_quiet()
    from alma.config import load
    from alma.recipes import recipe_of
    from alma.running.local import Local
    from alma.store import open_store

    start, computed = time.monotonic(), time.process_time()
    found: dict[str, Any] = {"run": job.run, "settings": list(job.settings), "seed": job.seed, "values": {}}
    labels = {label for label, _ in job.wanted}
    page = any(label.endswith("report") for label in labels)
    try:
        cfg = load(EXAMPLES / job.run, [*seeded(job.run, job.seed), *job.settings, *job.extra])
        local = Local(open_store(store_uri), EXAMPLES, lambda *_: None, isolate=False)

        def do(stage: str, section: Any, *, label: str, **inputs: Any) -> Any:
            if labels <= set(local.done):
                raise Enough
            if label not in labels and not page and any(word in label for word in FOR_PAGES):
                return None
            return local(stage, section, label=label, **inputs)

        with suppress(Enough):
            recipe_of(cfg)(cfg, do)
        for label, metric in job.wanted:
            value = value_of(local, label, metric)
            found["values"][f"{label} | {metric}"] = None if value is None else round(value, 6)
    except Exception as error:  # noqa: BLE001 - one failed run must not lose the others; it is kept and shown
        found["error"] = f"{type(error).__name__}: {error}"
    found["seconds"] = round(time.monotonic() - start, 1)
    found["cpu_seconds"] = round(time.process_time() - computed, 1)
    return found


def _be_quiet() -> None:
    """One thread, at the lowest priority, nothing downloaded."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    os.nice(LOWEST - os.nice(0))


def value_of(local: Any, label: str, metric: str) -> float | None:
    """A step's metric, or a report's ``best_of_n.pick.8`` (``.last``), or a validation's ``pairwise_accuracy.rare``."""
    manifest = local.done[label]
    name, _, detail = metric.partition(".")
    if name == "best_of_n":
        return _best_of_n(local.store, manifest, detail)
    if detail:
        return _by_family(local.store, manifest, name, detail)
    value = manifest.metrics.get(metric)
    return None if value is None else float(value)


def _best_of_n(store: Any, manifest: Any, detail: str) -> float | None:
    from alma.artifact import Artifact

    what, _, n = detail.partition(".")
    page = Artifact.open(store, manifest.ref)
    name = next(file.name for file in manifest.files if file.name.endswith("report.json"))
    points = json.loads(page.file(name).read_text(encoding="utf-8"))["points"]
    curve = next(point["best_of_n"] for point in reversed(points) if point.get("best_of_n"))
    if n == "last":  # all samples that ended, of the prompt that has the most of them
        return float(curve[what][-1]["value"])
    return float(curve[what][curve["n"].index(int(n))]["value"]) if int(n) in curve["n"] else None


def _by_family(store: Any, manifest: Any, name: str, families: str) -> float | None:
    """Pairwise accuracy on the held-out scores of some families, a prompt's first word: "add+max"."""
    from alma.artifact import Artifact
    from alma.statistics import pairwise_accuracy

    table = Artifact.open(store, manifest.ref).table()  # type: ignore[attr-defined]
    kept = set(families.split("+"))
    rows = [row for row in table.to_pylist() if row["parsed"] and row["prompt"].split()[0] in kept]
    read = "integer" if name.endswith("integer") else "mean"
    share, pairs = pairwise_accuracy(
        [row["prompt"] for row in rows], [row["human_score"] for row in rows], [row[read] for row in rows]
    )
    return share if pairs else None
