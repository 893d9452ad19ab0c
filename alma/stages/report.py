"""One cumulative page: this point's numbers join those of the points before it (``alma.page`` draws them)."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from alma.artifact import Artifact, Metrics, Model, Page, Ref, Rows
from alma.artifact.out import Out
from alma.artifact.records import DROP_REASONS, SCHEMAS
from alma.engines import ways
from alma.engines.ways import PROOF
from alma.errors import ConfigError, DataError
from alma.faults import first_fault
from alma.page import measure, overlaps, render, samples, selection
from alma.page.arms import arms, imitation_of, measured
from alma.page.comparison_files import comparison_files
from alma.page.evaluators import outside
from alma.page.numbers import UNKNOWN, Check, Estimate, Imitation, Outside, Point, Proof, StageCost
from alma.page.numbers import Report as Numbers
from alma.page.training import TrainingCurve, training_curve
from alma.sections import BY, Report
from alma.text.normalise import exact_match

VERSION = 11

PAGE = "report.html"
NUMBERS = "report.json"
CURVES = "curves.json"
_CURVES = TypeAdapter(tuple[TrainingCurve, ...])
JUDGED = [
    name for name in SCHEMAS["judgement"].names if name not in ("probs", "response_id", "judge_id", "human_score")
]
"""What is read of a round's judgements."""


def run(
    cfg: Report,
    *,
    previous: Page | None = None,
    evaluation: Rows | None = None,
    few_shot: Rows | None = None,
    judgements: Rows | None = None,
    selected: Rows | None = None,
    prompts: Rows | None = None,
    heldout: Rows | None = None,
    heldout_first: Rows | None = None,
    heldout_base: Rows | None = None,
    curve: Rows | None = None,
    references: Rows | None = None,
    training: Model | None = None,
    imitation: Rows | None = None,
    out: Out,
    **outsiders: Rows,
) -> Metrics:
    """Writes ``report.html``, ``report.json`` and ``curves.json``: the page, its numbers, all trainings step by step.

    A port that is not given leaves its section to an earlier point. ``few_shot`` is a second evaluation of the same
    checkpoint, asked behind examples. ``judgements`` are of the round's responses, ``selected`` the union so far;
    ``heldout``, ``heldout_first`` and ``heldout_base`` are the final judge, the human-taught one and the untrained base
    on held-out human scores; ``curve`` has N samples of each evaluation prompt, whose right answers are in
    ``references``; ``imitation`` is what a model wrote after its seeds, up to this iteration;
    ``by_<name>`` is what the outside evaluator of that name left of this checkpoint. With ``cfg.arm`` the
    arms' table lies beside the page as JSON, CSV and Markdown. Raises ``ConfigError`` where ``previous`` has this
    label, or an evaluation of this arm's repeat.
    """
    earlier = _earlier(previous, cfg)
    curves = _earlier_curves(previous)
    results = evaluation.table() if evaluation else None
    judged = judgements.table(JUDGED) if judgements else None
    chosen = selected.table() if selected else None
    validation = (heldout, heldout_first, heldout_base)
    given = (evaluation, few_shot, judgements, selected, prompts, *validation, curve, training, imitation)
    new = _new((*given, *outsiders.values()), {cost.ref for point in earlier for cost in point.costs})
    curves = _named(curves + _curves(new), training, cfg.arm or cfg.label)
    point = Point(
        label=cfg.label,
        round=cfg.round,
        quality=measure.quality(results) if results is not None else None,
        few_shot=measure.quality(few_shot.table()) if few_shot else None,
        sampling=measure.sampling(judged, chosen) if judged is not None else None,
        selection=measure.selection(chosen) if chosen is not None else None,
        best_of_n=measure.best_of_n(curve.table(JUDGED), _references(references), partial(exact_match, ended=True))
        if curve
        else None,
        judge=measure.judge_validation(heldout.table()) if heldout else None,
        judge_first=measure.judge_validation(heldout_first.table()) if heldout_first else None,
        judge_base=measure.judge_validation(heldout_base.table()) if heldout_base else None,
        prompts=measure.prompts(prompts.table(), cfg.seed) if prompts else None,
        overlaps=overlaps.overlaps(artifact.manifest for artifact in new),
        training=measure.training(_lines(training, "curve.jsonl")) if training else None,
        proof=_proof(training, earlier),
        costs=tuple(map(_cost, new)),
        arm=cfg.arm,
        repeat=cfg.repeat,
        measures=measured(results) if cfg.arm and results is not None else (),
        # Also one without a row, which says why every attempt was dropped.
        imitation=_imitation(imitation) if imitation is not None else None,
        outside=tuple(_outside(port.removeprefix(BY), rows) for port, rows in sorted(outsiders.items())),
    )
    report = Numbers(title=cfg.title, about=cfg.about, sections=cfg.sections, points=(*earlier, point))
    _write(out, report, _shown(report, judged, chosen, imitation, results, cfg), curves)
    return _metrics(point)


def _shown(
    report: Numbers,
    judged: pa.Table | None,
    chosen: pa.Table | None,
    imitation: Rows | None,
    results: pa.Table | None,
    cfg: Report,
) -> dict[str, Any]:
    """What is to be read on the page: some of the round's responses or of what a model wrote, and the answers."""
    rounds: tuple[list[samples.Row], int] = ([], 0)
    if judged is not None:
        writers, ids = selection.writers(report.points), measure.selected_ids(chosen)
        rounds = samples.round_samples(judged, ids, writers, cfg.num_samples_shown, cfg.seed)
    elif imitation is not None:
        rounds = samples.imitated(imitation.table(), cfg.num_samples_shown, cfg.seed)
    answers = samples.answers(results) if results is not None else ([], 0)
    return {
        name: {"label": cfg.label, "rows": rows, "total": total}
        for name, (rows, total) in (("rounds", rounds), ("answers", answers))
    }


def _write(out: Out, report: Numbers, shown: dict[str, Any], curves: tuple[TrainingCurve, ...]) -> None:
    """The page, its numbers, the trainings; where there are arms, their table in three forms."""
    (out.folder / PAGE).write_text(render(report, shown, curves), encoding="utf-8")
    (out.folder / NUMBERS).write_text(report.model_dump_json() + "\n", encoding="utf-8")
    (out.folder / CURVES).write_bytes(_CURVES.dump_json(curves) + b"\n")
    compared = arms(report.points)
    for name, text in (comparison_files(report.title, compared) if compared else {}).items():
        (out.folder / name).write_text(text, encoding="utf-8")


def _earlier(previous: Page | None, cfg: Report) -> tuple[Point, ...]:
    if previous is None:
        return ()
    try:
        points = Numbers.model_validate_json((previous.folder / NUMBERS).read_bytes()).points
    except ValidationError as error:
        raise DataError(
            f"{previous.ref}/{NUMBERS}: {first_fault(error)}; it was not written by this version of alma, make that "
            "report again"
        ) from error
    if cfg.label in {point.label for point in points}:
        raise ConfigError(f"report.label = {cfg.label!r} is a point of {previous.ref} already; give this one its own")
    if cfg.arm and (cfg.arm, cfg.repeat) in {(point.arm, point.repeat) for point in points if point.measures}:
        raise ConfigError(f"arm {cfg.arm!r}, repeat {cfg.repeat} is evaluated in {previous.ref} already")
    return points


def _outside(name: str, rows: Rows) -> Outside:
    """An outside evaluator's rows of this point."""
    manifest = rows.manifest
    schema = manifest.schema_name or ""
    return outside(name, rows.ref.stage, schema, rows.table(), manifest.metrics, manifest.inputs)


def _imitation(rows: Rows) -> Imitation:
    """What a model wrote after its seeds, and what became of it."""
    manifest = rows.manifest
    return imitation_of(manifest.metrics, int(manifest.section["iteration"]), tuple(DROP_REASONS))


def _references(references: Rows | None) -> dict[str, str | None]:
    if references is None:
        return {}
    table = references.table(["id", "reference"])
    return dict(zip(table["id"].to_pylist(), table["reference"].to_pylist(), strict=True))


def _earlier_curves(previous: Page | None) -> tuple[TrainingCurve, ...]:
    if previous is None:
        return ()
    try:
        return _CURVES.validate_json((previous.folder / CURVES).read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{previous.ref}/{CURVES} was not written by this version of alma, make that report again: {error}"
        ) from error


def _curves(artifacts: list[Artifact]) -> tuple[TrainingCurve, ...]:
    """The trainings among ``artifacts``."""
    found = []
    for artifact in artifacts:
        manifest = artifact.manifest
        if manifest.stage != "finetune":
            continue
        objective = str(manifest.section.get("objective", ""))
        origin = " ".join(f"{port}={ref}" for port, ref in sorted(manifest.inputs.items()))
        num_tokens = int(manifest.metrics.get("num_tokens", 0))
        lines = _lines(artifact, "curve.jsonl")
        found.append(
            training_curve(
                str(manifest.ref), objective, origin, num_tokens, lines, artifact.steps_beside("speed.jsonl")
            )
        )
    return tuple(curve for curve in found if curve is not None)


def _named(curves: tuple[TrainingCurve, ...], training: Model | None, label: str) -> tuple[TrainingCurve, ...]:
    """``curves``, that of ``training`` with this label."""
    ref = str(training.ref) if training else None
    return tuple(each.model_copy(update={"label": label}) if each.ref == ref else each for each in curves)


def _lines(model: Artifact, name: str) -> list[dict[str, Any]]:
    """A file of the model; nothing of a model that was brought and not trained here."""
    stated = [file.name for file in model.manifest.files if file.name.endswith(f"/{name}")]
    return [json.loads(line) for each in stated for line in model.file(each).read_text(encoding="utf-8").splitlines()]


def _proof(model: Model | None, earlier: tuple[Point, ...]) -> Proof | None:
    """What was proven of the model that was trained; nothing where an earlier point says the same."""
    stated = [file.name for file in model.manifest.files if file.name.endswith(f"/{PROOF}")] if model else []
    if model is None or not stated:
        return None
    read = ways.Proof.read(model.file(stated[0]))
    checks = tuple(Check(**asdict(each)) for each in read.findings)
    found = Proof(model_type=read.model_type, checks=checks)
    return found if found not in [point.proof for point in earlier] else None


def _new(given: tuple[Artifact | None, ...], counted: set[str]) -> list[Artifact]:
    """These artifacts and all that they follow from but the ``counted`` ones, in the order of their names."""
    seen = set(counted)
    waiting: list[Artifact] = [artifact for artifact in given if artifact is not None]
    found = []
    while waiting:
        artifact = waiting.pop()
        ref = str(artifact.ref)
        if ref in seen:
            continue
        seen.add(ref)
        found.append(artifact)
        parents = (parent for parent in artifact.manifest.inputs.values() if parent not in seen)
        waiting.extend(Artifact.open(artifact.store, Ref.parse(parent)) for parent in parents)
    return sorted(found, key=lambda artifact: str(artifact.ref))


def _cost(artifact: Artifact) -> StageCost:
    """What making an artifact took."""
    cost = artifact.cost
    ref, stage = str(artifact.ref), artifact.ref.stage
    if cost is None:
        return StageCost(ref=ref, stage=stage, seconds=0, tokens=0, device=UNKNOWN)
    return StageCost(ref=ref, stage=stage, seconds=cost.seconds, tokens=cost.tokens, device=cost.device)


def _metrics(point: Point) -> Metrics:
    """The scalars of this point that a dashboard plots: each with its interval."""
    metrics: Metrics = {"round": point.round}

    def put(name: str, estimate: Estimate | None) -> None:
        if estimate is not None:
            metrics[name] = estimate.value
            if estimate.low is not None and estimate.high is not None:
                metrics[f"{name}_low"], metrics[f"{name}_high"] = estimate.low, estimate.high

    if point.quality is not None:
        put("exact_match", point.quality.exact_match)
        put("judge_score", point.quality.score)
        put("response_tokens", point.quality.tokens)
        put("fraction_ended", point.quality.ended)
    if point.sampling is not None:
        put("best_score", point.sampling.best)
        put("fraction_distinct", point.sampling.distinct)
    if point.judge is not None:
        put("judge_accuracy", point.judge.readings[-1].accuracy)
    for each in point.measures:
        metrics.setdefault(each.name, each.value)
    for evaluator in point.outside:
        for told in evaluator.measures:
            put(f"{evaluator.name}_{told.name}", told.estimate)
    if point.imitation is not None:
        metrics["yield"] = point.imitation.num_kept / point.imitation.num_attempts
        metrics["nearest_rouge"] = point.imitation.nearest_rouge
    return metrics
