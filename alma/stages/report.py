"""One cumulative page: this point's numbers join those of the points before it (``alma.page`` draws them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from alma.artifact import Artifact, Metrics, Model, Page, Ref, Rows
from alma.errors import ConfigError, DataError
from alma.out import Out
from alma.page import measure, render, samples, selection
from alma.page.numbers import Estimate, Point, Work
from alma.page.numbers import Report as Numbers
from alma.records import SCHEMAS
from alma.sections import Report
from alma.stages.evaluate import matches

VERSION = 1

PAGE = "report.html"
NUMBERS = "report.json"
JUDGED = [
    name for name in SCHEMAS["judgement"].names if name not in ("probs", "response_id", "judge_id", "human_score")
]
"""What is read of a round's judgements."""


def run(
    cfg: Report,
    *,
    previous: Page | None = None,
    evaluation: Rows | None = None,
    judgements: Rows | None = None,
    selected: Rows | None = None,
    prompts: Rows | None = None,
    heldout: Rows | None = None,
    heldout_first: Rows | None = None,
    curve: Rows | None = None,
    references: Rows | None = None,
    training: Model | None = None,
    out: Out,
) -> Metrics:
    """Writes ``report.html`` and ``report.json``. A port that is not given leaves its section to an earlier point.

    ``judgements`` are of the round's responses, ``selected`` the union so far; ``heldout`` and ``heldout_first`` are
    the final and the human-taught judge on held-out human scores; ``curve`` has N samples of each evaluation prompt,
    whose right answers are in ``references``. Raises ``ConfigError`` where ``previous`` has this label.
    """
    earlier = _earlier(previous, cfg)
    results = evaluation.table() if evaluation else None
    judged = judgements.table(JUDGED) if judgements else None
    chosen = selected.table() if selected else None
    given = (evaluation, judgements, selected, prompts, heldout, heldout_first, curve, training)
    point = Point(
        label=cfg.label,
        round=cfg.round,
        quality=measure.quality(results) if results is not None else None,
        sampling=measure.sampling(judged, chosen) if judged is not None else None,
        selection=measure.selection(chosen) if chosen is not None else None,
        curve=measure.curve(curve.table(JUDGED), _references(references), partial(matches, ended=True))
        if curve
        else None,
        judge=measure.examination(heldout.table()) if heldout else None,
        judge_first=measure.examination(heldout_first.table()) if heldout_first else None,
        prompts=measure.prompts(prompts.table(), cfg.seed) if prompts else None,
        training=measure.training(_lines(training)) if training else None,
        work=_work(given, {work.ref for point in earlier for work in point.work}),
    )
    report = Numbers(title=cfg.title, points=(*earlier, point))
    shown: dict[str, Any] = {name: {"label": cfg.label, "rows": [], "total": 0} for name in ("rounds", "answers")}
    if judged is not None:
        writers = selection.writers(report.points)
        ids = measure.selected_ids(chosen)
        rows, total = samples.round_samples(judged, ids, writers, cfg.num_samples_shown, cfg.seed)
        shown["rounds"] |= {"rows": rows, "total": total}
    if results is not None:
        rows, total = samples.answers(results)
        shown["answers"] |= {"rows": rows, "total": total}
    (out.folder / PAGE).write_text(render(report, shown), encoding="utf-8")
    (out.folder / NUMBERS).write_text(report.model_dump_json() + "\n", encoding="utf-8")
    return _metrics(point)


def _earlier(previous: Page | None, cfg: Report) -> tuple[Point, ...]:
    if previous is None:
        return ()
    try:
        points = Numbers.model_validate_json((previous.folder / NUMBERS).read_bytes()).points
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DataError(
            f"{previous.ref}/{NUMBERS}: {where}: {error.errors()[0]['msg']}; it was not written by this version of "
            "alma, make that report again"
        ) from error
    if cfg.label in {point.label for point in points}:
        raise ConfigError(f"report.label = {cfg.label!r} is a point of {previous.ref} already; give this one its own")
    return points


def _references(references: Rows | None) -> dict[str, str | None]:
    if references is None:
        return {}
    table = references.table(["id", "reference"])
    return dict(zip(table["id"].to_pylist(), table["reference"].to_pylist(), strict=True))


def _lines(training: Model) -> list[dict[str, Any]]:
    path = training.folder / "curve.jsonl"
    if not path.exists():
        return []  # a model that was brought and not trained here
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _work(given: tuple[Artifact | None, ...], counted: set[str]) -> tuple[Work, ...]:
    """What these artifacts, and all that they follow from, took; each artifact once in a run."""
    seen = set(counted)
    waiting: list[Artifact] = [artifact for artifact in given if artifact is not None]
    found = []
    while waiting:
        artifact = waiting.pop()
        ref = str(artifact.ref)
        if ref in seen:
            continue
        seen.add(ref)
        cost: Mapping[str, Any] = artifact.cost
        found.append(
            Work(
                ref=ref,
                stage=artifact.ref.stage,
                seconds=cost["seconds"],
                tokens=cost["tokens"],
                device=cost["device"],
            )
        )
        parents = (parent for parent in artifact.manifest.inputs.values() if parent not in seen)
        waiting.extend(Artifact.open(artifact.store, Ref.parse(parent)) for parent in parents)
    return tuple(sorted(found, key=lambda work: work.ref))


def _metrics(point: Point) -> Metrics:
    """The scalars of this point that a dashboard plots: each with its interval."""
    metrics: Metrics = {"round": point.round}

    def put(name: str, estimate: Estimate | None) -> None:
        if estimate is not None:
            metrics[name] = estimate.value
            if estimate.low is not None and estimate.high is not None:
                metrics[f"{name}_low"], metrics[f"{name}_high"] = estimate.low, estimate.high

    if point.quality is not None:
        put("truth", point.quality.truth)
        put("judge_score", point.quality.score)
        put("response_tokens", point.quality.tokens)
        put("share_ended", point.quality.ended)
    if point.sampling is not None:
        put("best_score", point.sampling.best)
        put("share_distinct", point.sampling.distinct)
    if point.judge is not None:
        put("judge_accuracy", point.judge.readings[-1].accuracy)
    return metrics
