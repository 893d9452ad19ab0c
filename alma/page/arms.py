"""Arms of a comparison: tables to numbers, and repeats to means with their errors. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from alma.artifact.measures import COLUMNS, measures
from alma.page import numbers
from alma.page.numbers import Point
from alma.statistics import mean_and_error


def measured(results: pa.Table) -> tuple[numbers.Measure, ...]:
    """RESULT or MEASURED_RESULT rows of one checkpoint: every measure that they hold."""
    rows = results.select([name for name in COLUMNS if name in results.column_names]).to_pylist()
    found = []
    for name, values in measures(rows).items():
        value, error = mean_and_error(values)
        found.append(
            numbers.Measure(name=name, value=value, error=None if math.isnan(error) else error, num=len(values))
        )
    return tuple(found)


def imitation_of(metrics: Mapping[str, float | int], iteration: int, reasons: Sequence[str]) -> numbers.Imitation:
    """The metrics that ``imitate`` left; ``reasons`` are those of its filters, in their order."""
    return numbers.Imitation(
        iteration=iteration,
        num_attempts=int(metrics["num_attempts"]),
        num_kept=int(metrics["num_kept"]),
        dropped=tuple((reason, int(metrics[f"num_{reason}"])) for reason in reasons),
        nearest_rouge=metrics["nearest_rouge"],
        distinct_words=metrics["distinct_word_share"],
        response_tokens=metrics["response_tokens"],
    )


@dataclass(frozen=True, slots=True)
class Mean:
    """A measure of an arm. ``error`` is a standard error: over the repeats where there are several, else over prompts.

    ``None`` where neither can be told. ``values`` are those of the repeats, by repeat.
    """

    value: float
    error: float | None
    over: Literal["repeats", "prompts"]
    values: tuple[tuple[int | None, float], ...]
    num: int
    """Prompts of a repeat (the fewest), or attempts."""
    by_prompt: tuple[float | None, ...] = ()
    """Of an arm that ran once, each prompt's value, where the report keeps them; ``digest`` is that of the prompts."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """One method of the comparison."""

    name: str
    repeats: int
    means: Mapping[str, Mean]


def arms(points: Sequence[Point]) -> list[Arm]:
    """Every arm that was evaluated, in the order in which they first appear."""
    return [
        Arm(name, len(several), {measure: _mean(several, measure) for measure in _names(several)})
        for name, several in by_arm([point for point in points if point.measures]).items()
    ]


def by_arm(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Arm → its points, in the order in which they first appear."""
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.arm:
            found.setdefault(point.arm, []).append(point)
    return found


def over_repeats(values: Sequence[tuple[int | None, float]], error: float | None = None, num: int = 0) -> Mean:
    """Mean and standard error over repeats; of a single one with ``error``, its own over ``num`` prompts."""
    only = [value for _, value in values]
    if len(only) == 1:
        return Mean(only[0], error, "prompts", tuple(values), num)
    spread = float(np.std(only, ddof=1) / np.sqrt(len(only)))
    return Mean(float(np.mean(only)), spread, "repeats", tuple(values), num)


def _names(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(measure.name for point in points for measure in point.measures))


def _mean(points: Sequence[Point], name: str) -> Mean:
    found = [(point.repeat, each) for point in points for each in point.measures if each.name == name]
    values = [(repeat, each.value) for repeat, each in found]
    mean = over_repeats(values, found[0][1].error, min(each.num for _, each in found))
    quality = points[0].quality
    kept = {"exact_match": quality.correct, "judge_score": quality.scores} if quality else {}
    if quality is None or len(values) > 1 or name not in kept:
        return mean
    return replace(mean, by_prompt=kept[name], digest=quality.prompts_digest)


Document = dict[str, Any]


def document(title: str, compared: Sequence[Arm]) -> Document:
    """The comparison as plain values: what ``comparison.json`` holds."""
    return {
        "format": 1,
        "title": title,
        "arms": [
            {
                "arm": arm.name,
                "repeats": arm.repeats,
                "measures": {
                    name: {
                        "mean": mean.value,
                        "standard_error": mean.error,
                        "error_over": mean.over,
                        "prompts": mean.num,
                        "by_repeat": [{"repeat": repeat, "value": value} for repeat, value in mean.values],
                    }
                    for name, mean in arm.means.items()
                },
            }
            for arm in compared
        ],
    }
