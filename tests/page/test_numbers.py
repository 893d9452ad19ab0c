"""Numbers of a report that somebody else wrote: what does not fit together is refused by its place when it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from alma.faults import first_fault
from alma.page import comparison, render
from alma.page.arms import arms
from alma.page.difference import against_others
from alma.page.headline import paired
from alma.page.numbers import Measure, Point, Quality, Report
from alma.page.training import TrainingCurve, training

ESTIMATE = {"value": 1, "low": None, "high": None, "num": 1}
READING = {"name": "integer", "accuracy": None, "tied": None, "spearman": None, "error": 0}
POINT = {
    "label": "a",
    "round": 0,
    "best_of_n": {
        **{"num_prompts": 1, "num_samples": 2, "num_referenced": 1},
        **{"n": [1, 2], "score": [ESTIMATE] * 2, "pick": [ESTIMATE] * 2, "any_correct": [ESTIMATE] * 2},
    },
    "judge": {"num_rows": 1, "num_unparsed": 0, "readings": [READING], "bins": [], "density": [[1, 2, 3]]},
    "prompts": {"num": 1, "sizes": [1], "num_clusters": 1, "effective_clusters": 1, "x": [0], "y": [0], "cluster": [0]},
    "training": {"step": [1, 2], "loss": [2, 1], "num_steps": 2, "num_tokens": 9},
}
SECTIONS = ("best_of_n", "judge", "prompts", "training")


def read(point: dict[str, Any]) -> Report:
    text = json.dumps({"title": "t", "sections": SECTIONS, "points": [point]})
    return Report.model_validate_json(text)


def test_what_fits_together_is_drawn() -> None:
    assert render(read(POINT), {name: {"label": "", "rows": [], "total": 0} for name in ("rounds", "answers")})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("best_of_n", "n", [1]),
        ("best_of_n", "score", []),
        ("best_of_n", "pick", [ESTIMATE]),
        ("best_of_n", "any_correct", []),
        ("judge", "readings", []),
        ("judge", "density", []),
        ("prompts", "sizes", []),
        ("prompts", "sizes", [1, 1]),
        ("prompts", "cluster", []),
        ("training", "step", []),
        ("training", "loss", [1]),
    ],
)
def test_what_does_not_is_refused_by_its_place(section: str, field: str, value: Any) -> None:
    part: Any = POINT[section]
    with pytest.raises(ValidationError) as caught:
        read(POINT | {section: part | {field: value}})
    assert first_fault(caught.value).startswith(f"points.0.{section}")


def test_a_report_has_a_point() -> None:
    with pytest.raises(ValidationError, match="points"):
        Report(title="t", sections=("quality",), points=())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", []),
        ("num_steps", 0),
        ("columns", {"loss": [1.0]}),
        ("columns", {"loss": []}),
        ("columns", {"loss": [1, 1e300]}),
    ],
)
def test_a_curve_has_a_value_of_each_step(field: str, value: Any) -> None:
    curve = {"ref": "finetune/a", "objective": "sft", "origin": "", "num_steps": 2, "num_tokens": 9}
    curve |= {"step": [1, 2], "columns": {"loss": [2.0, 1.0]}}
    assert training([], [TrainingCurve.model_validate_json(json.dumps(curve))]).charts
    with pytest.raises(ValidationError):
        TrainingCurve.model_validate_json(json.dumps(curve | {field: value}))


def quality(num: int) -> Quality:
    nothing = dict.fromkeys(("exact_match", "score", "tokens", "ended", "exact_match_by_family", "score_by_family"))
    given = {"checkpoint_id": "c", "num_prompts": num, "num_unparsed": 0, "tokens_median": 1, "families": ()}
    of_each = {"correct": (True, False, True)[:num], "scores": (None,) * num, "prompts_digest": "d"}
    return Quality(**nothing, **given, **of_each)  # type: ignore[arg-type]


def test_prompts_of_another_number_are_no_pairs() -> None:
    """Whatever a digest says."""
    assert paired(quality(2), quality(3), "correct") is None
    points = [
        Point(label=f"{num}", round=0, arm=f"{num}", quality=quality(num), measures=(exact(num),)) for num in (2, 3)
    ]
    best, *others = arms(points)
    assert [each.paired for each in against_others(best, others, "exact_match")] == ["not paired"]


def exact(num: int) -> Measure:
    return Measure(name="exact_match", value=0.5, error=0.1, num=num)


@pytest.mark.parametrize(("name", "said"), [("prompts_seen", "are among"), ("prompts_near", "have a ROUGE-L of 0.7")])
def test_one_of_two_measures_of_overlap_is_told(name: str, said: str) -> None:
    measures = (exact(3), Measure(name=name, value=0.25, error=0.1, num=3))
    section = comparison.comparison([Point(label="a", round=0, arm="a", measures=measures)])
    assert any(each.startswith(f"Of the prompts, 25.0% {said}") for each in section.lead)
