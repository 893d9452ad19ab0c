"""What a run left, on one screen: a table, and where the model, the judge and the report lie."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from alma.artifact import Artifact, Folder, Manifest, Ref
from alma.artifact.measures import LABELS
from alma.ending import escaped
from alma.recipes import Outcome
from alma.store import Store
from alma.text.plain import plain

FEW_SHOT = "few-shot"
"""Behind ``evaluate`` in the label of the base model that is asked behind examples; no evaluator can be called so."""


def print_outcome(store: Store, outcome: Outcome, done: dict[str, Manifest], record: str) -> None:
    """A table of the rounds, or of the methods that were compared, and where to look."""
    console = Console(markup=False)  # what is shown is anybody's text
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a pipe has no width, and numbers must not be cut
    report = Artifact.open(store, Ref.parse(str(outcome.report)))
    assert isinstance(report, Folder)
    compared = report.folder / "comparison.json"
    if compared.exists():
        console.print(_arms(json.loads(compared.read_text(encoding="utf-8"))))
    else:
        console.print(_rounds(done, json.loads((report.folder / "report.json").read_text(encoding="utf-8"))["title"]))
    places = {"model": _place(store, outcome.model), "judge": outcome.judge and _place(store, outcome.judge)}
    places |= {"run": _local(store, record), "report": report.folder / "report.html"}
    for name, place in places.items():
        if place is not None:
            console.print(escaped(f"{name:8}{place}"), soft_wrap=True)


OUTSIDE = {"reward": "reward", "appraise": "score", "contest": "win_rate"}
"""Stage of an outside evaluator → its measure beside the judge's; the report has all of them."""


def _rounds(done: dict[str, Manifest], title: str) -> Table:
    """A row per evaluation, with what outside evaluators say of the same answers; ``title`` is the page's."""
    names = ("exact_match", "judge_score", "response_tokens", "fraction_ended")
    rows: dict[str, Manifest] = {}
    outside: dict[str, dict[str, Manifest]] = {}
    for label, manifest in done.items():
        layer, _, who = label.partition(" · evaluate")
        point, who = layer.partition(" ·")[0].removesuffix(" evaluation"), who.strip()
        if manifest.stage == "evaluate" and who in ("", FEW_SHOT):
            rows[f"{point}{who and f', {who}'}"] = manifest
        elif manifest.metrics.get(OUTSIDE.get(manifest.stage, "")) is not None and who:
            outside.setdefault(who, {})[point] = manifest
    table = Table(
        "", *map(LABELS.__getitem__, names), *map(plain, outside), title=f"{plain(title)} by round, ± standard error"
    )
    for point, manifest in rows.items():
        others = (found.get(point) for found in outside.values())
        seen = ("–" if each is None else _with_error(each, OUTSIDE[each.stage]) for each in others)
        table.add_row(point, *(_with_error(manifest, name) for name in names), *seen)
    return table


def _arms(comparison: dict[str, Any]) -> Table:
    """The table of ``comparison.json``: a row per arm, a column per measure that one of them has."""
    arms = comparison["arms"]
    names = dict.fromkeys(
        name
        for arm in arms
        for name, found in arm["measures"].items()
        if found["mean"] or not name.startswith("prompts_")
    )
    title = f"{plain(comparison['title'])} by arm, ± standard error over repeats (* over prompts)"
    table = Table("", "repeats", *(plain(LABELS.get(name, name)) for name in names), title=title)
    for arm in arms:
        cells = []
        for found in map(arm["measures"].get, names):
            if found is None:
                cells.append("–")
            elif found["standard_error"] is None:
                cells.append(f"{found['mean']:.3f}")
            else:
                star = "*" if found["error_over"] == "prompts" else ""
                cells.append(f"{found['mean']:.3f} ± {found['standard_error']:.3f}{star}")
        table.add_row(plain(arm["arm"]), str(arm["repeats"]), *cells)
    return table


def _with_error(manifest: Manifest, name: str) -> str:
    value = manifest.metrics.get(name)
    if value is None:
        return "–"
    error = manifest.metrics.get(f"{name}_error")
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def _place(store: Store, ref: Ref) -> str:
    """Where the files of a model or page lie: ``files/<their content's hash>``."""
    first = Artifact.open(store, ref).manifest.files[0].name
    return _local(store, f"{ref}/{'/'.join(first.split('/')[:2])}")


def _local(store: Store, name: str) -> str:
    return str(store.local(name) or f"{store.uri}/{name}")
