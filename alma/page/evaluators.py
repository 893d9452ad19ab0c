"""What outside evaluators' rows say of a checkpoint: tables to numbers. Pure; columns as in ``alma.artifact.records``.

The rows say by their schema, and by the stage that wrote them, what they are: rewards, grades, preferences against
another model's answers (``assessment``), exams (``exam``), or answers to prompts of their own (``screened``,
``examined``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from alma.artifact.measures import COLUMNS, LABELS, SAFETY, measures
from alma.page import numbers
from alma.page.numbers import MOST, Estimate
from alma.statistics import t_interval

KINDS = {"reward": "reward", "appraise": "chat", "contest": "answers", "examine": "harness", "evaluate": "safety"}
"""Stage → the kind of evaluator that asked it."""

_SCORES = {"reward": ("reward", "reward"), "appraise": ("grade", "grade, 1 to 10")}
_BETTER: Mapping[str, Literal[-1, 0, 1]] = {
    "harmful": -1,
    "harmful_on_request": -1,
    "over_refusal": -1,
    "response_tokens": 0,
}


def outside(
    name: str, stage: str, schema: str, table: pa.Table, metrics: Mapping[str, float | int], inputs: Mapping[str, str]
) -> numbers.Outside:
    """The rows that ``stage`` wrote about one checkpoint, with its ``metrics`` and the names of its inputs."""
    if schema == "assessment":
        found = _assessed(stage, table, metrics)
        judges = [each for each in table["evaluator"].unique().to_pylist() if each]
        paid = sum(table["num_paid_tokens"].drop_null().to_pylist())
        judged_by = ", ".join(judges)
    elif schema == "exam":
        found, paid, judged_by = _exams(table), 0, "lm-evaluation-harness"
    else:
        found, paid, judged_by = _answered(table, metrics), 0, inputs.get("classifier", "")
    return numbers.Outside(
        name=name, kind=KINDS.get(stage, stage), judged_by=judged_by, measures=tuple(found), num_paid_tokens=paid
    )


def _assessed(stage: str, table: pa.Table, metrics: Mapping[str, float | int]) -> list[numbers.OutsideMeasure]:
    table = table.sort_by("prompt_id")
    digest = hashlib.sha256("\n".join(map(str, table["prompt_id"].to_pylist())).encode()).hexdigest()[:16]
    compared = stage not in _SCORES
    values = table["preference" if compared else "score"].to_pylist()
    known = [value for value in values if value is not None]
    name, label = ("win_rate", "win rate") if compared else _SCORES[stage]
    estimate = _stated(metrics, name, len(known)) or Estimate.mean(known)
    if estimate is None:
        return []
    main = numbers.OutsideMeasure(
        name=name,
        label=label,
        better=1,
        fraction=compared,
        estimate=estimate,
        num_missing=len(values) - len(known),
        values=tuple(None if value is None else round(value, 6) for value in values),
        prompts_digest=digest,
    )
    even = _stated(metrics, "length_controlled_win_rate", len(known))
    if even is None:
        return [main]
    label = "win rate at equal length"
    return [
        main,
        numbers.OutsideMeasure(name="length_controlled_win_rate", label=label, better=1, fraction=True, estimate=even),
    ]


def _stated(metrics: Mapping[str, float | int], name: str, num: int) -> Estimate | None:
    """An estimate whose interval the stage itself found."""
    if not {name, f"{name}_low", f"{name}_high"} <= metrics.keys():
        return None
    return Estimate(value=metrics[name], low=metrics[f"{name}_low"], high=metrics[f"{name}_high"], num=num)


def _exams(table: pa.Table) -> list[numbers.OutsideMeasure]:
    """Tasks have no interval where the harness states no error, or not of how many questions.

    What is no number (a perplexity beyond all) is in the rows alone.
    """
    found = []
    for row in table.to_pylist():
        if not abs(row["value"]) <= MOST:  # NaN is not, either
            continue
        ends = (math.nan, math.nan) if row["error"] is None else t_interval(row["value"], row["error"], row["num"] - 1)
        low, high = ends if all(map(math.isfinite, ends)) else (None, None)
        label = f"{row['task']}, {row['metric']}"
        found.append(
            numbers.OutsideMeasure(
                name="".join(each if each.isalnum() else "_" for each in f"{row['task']}_{row['metric']}"),
                label=label,
                better=0 if row["higher_is_better"] is None else 1 if row["higher_is_better"] else -1,
                fraction=False,
                estimate=Estimate(value=row["value"], low=low, high=high, num=row["num"]),
            )
        )
    return found


def _answered(table: pa.Table, metrics: Mapping[str, float | int]) -> list[numbers.OutsideMeasure]:
    """Every measure of answers to prompts of the evaluator's own; of safety's with the stage's own intervals."""
    rows = table.select([name for name in COLUMNS if name in table.column_names]).to_pylist()
    found = []
    for name, values in measures(rows).items():
        estimate = _stated(metrics, name, len(values)) or Estimate.mean(values)
        if name == "judge_score" or estimate is None:
            continue
        found.append(
            numbers.OutsideMeasure(
                name=name,
                label=LABELS[name],
                better=_BETTER.get(name, 1),
                fraction=name != "response_tokens",
                estimate=estimate,
                num_missing=sum(_is_asked(name, row) for row in rows) - len(values),
            )
        )
    first = ("harmful", *SAFETY)
    return sorted(found, key=lambda each: first.index(each.name) if each.name in first else len(first))


def _is_asked(name: str, row: Mapping[str, Any]) -> bool:
    """Whether a measure is of this row: safety's are of harmful prompts, or of harmless ones."""
    return name not in SAFETY or row["harmful_prompt"] is (name != "over_refusal")
