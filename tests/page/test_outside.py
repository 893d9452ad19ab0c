"""Outside evaluators on the page: a judge that loves length is unmasked, chance is none of that, gaps are told."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alma.artifact import Artifact, Page, Rows
from alma.artifact.out import Out
from alma.page import divergence, outside
from alma.page.evaluators import outside as outside_numbers
from alma.page.figure import SERIES, draw, key, series
from alma.page.numbers import Estimate, Outside, OutsideMeasure, Point, Quality
from alma.sections import Report, Reward
from alma.stages import report, reward
from alma.statistics import interval_error, t_interval
from tests.builders.bench import Bench
from tests.builders.page import Elements
from tests.builders.sealed import seal

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SECTIONS = ("quality", "length", "outside")


class Run(Bench):
    """Evaluations, judged by length alone; rewards by the echo engine, which dislikes repetition."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        out = self.out("ingest")
        (out.folder / "config.json").write_text("{}", encoding="utf-8")
        seal(out, "model")
        self.model = Artifact.open(self.store, out.ref)
        self.page: Page | None = None

    def evaluated(self, number: int, repeats: int) -> Rows:
        chance = random.Random(number)
        answers = [" ".join(chance.sample(WORDS, 3) + ["so"] * repeats) for _ in range(60)]
        return self.rows(
            "result",
            [
                {
                    "prompt_id": f"p{place:02d}",
                    "prompt": f"question {place}",
                    "checkpoint_id": f"finetune/{number}",
                    "judge_id": "finetune/judge",
                    "response": answer,
                    "num_tokens": len(answer.split()),
                    "ended": True,
                    "mean": min(10.0, len(answer.split()) + chance.random()),
                    "std": 0.5,
                    "parsed": True,
                }
                for place, answer in enumerate(answers)
            ],
        )

    def point(self, number: int, repeats: int, *, asked: bool = True) -> dict[str, Any]:
        evaluation = self.evaluated(number, repeats)
        cfg = Reward(name="outsider", engine="echo", model={"source": "m"})
        ports = {"by_outsider": self.run(reward, cfg, results=evaluation, model=self.model)} if asked else {}
        section = Report(label=f"round {number:02d}", round=number, sections=SECTIONS)
        out: Out = self.out("report")
        metrics = report.run(section, previous=self.page, evaluation=evaluation, out=out, **ports)
        seal(out, "page")
        page = Artifact.open(self.store, out.ref)
        assert isinstance(page, Page)
        self.page = page
        return metrics

    @property
    def text(self) -> str:
        assert self.page is not None
        return Elements((self.page.folder / "report.html").read_text(encoding="utf-8")).text


def test_a_judge_that_loves_length_is_unmasked(tmp_path):
    run = Run(tmp_path)
    for number, repeats in enumerate((1, 2, 4)):
        metrics = run.point(number, repeats)
    text = run.text
    assert "From round 00 to round 02 the judge's score rose by 2." in text
    assert "while outsider: reward got worse by " in text
    assert "the judge is being gamed, or likes what this evaluator does not" in text
    assert "The judge and the outsiders" in text
    points = json.loads((run.page.folder / "report.json").read_text())["points"]
    assert metrics["outsider_reward"] == points[2]["outside"][0]["measures"][0]["estimate"]["value"]
    assert metrics["outsider_reward_low"] < metrics["outsider_reward"] < metrics["outsider_reward_high"]


def test_the_same_evaluator_is_silent_where_nothing_but_chance_changes(tmp_path):
    run = Run(tmp_path)
    for number in range(2):
        run.point(number, 1)
    assert "gamed" not in run.text
    assert "not certain" in run.text


def test_a_page_without_evaluators_says_whose_the_only_score_is(tmp_path):
    run = Run(tmp_path)
    run.point(0, 1, asked=False)
    assert "No outside evaluator was asked: the only score is the judge's own, which the run optimises." in run.text
    assert "[[alma.evaluators]]" in run.text


# Points made by hand.


def measure(scores: list[float | None], **changes: Any) -> OutsideMeasure:
    known = [score for score in scores if score is not None]
    told = {
        "name": "reward",
        "label": "reward",
        "better": 1,
        "fraction": False,
        "estimate": Estimate.mean(known),
        "num_missing": len(scores) - len(known),
        "values": tuple(scores),
        "prompts_digest": "same",
    }
    return OutsideMeasure(**told | changes)


def point(label: str, scores: list[float], *measures: OutsideMeasure, by: str = "model") -> Point:
    quality = Quality(
        checkpoint_id=label,
        num_prompts=len(scores),
        num_unparsed=0,
        exact_match=None,
        score=Estimate.mean(scores),
        tokens=None,
        tokens_median=1,
        ended=None,
        families=(),
        exact_match_by_family=None,
        score_by_family=None,
        prompts_digest="same",
        correct=(None,) * len(scores),
        scores=tuple(scores),
    )
    told = Outside(name="e", kind="reward", judged_by=by, measures=measures)
    return Point(label=label, round=0, quality=quality, outside=(told,) if measures else ())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(*[st.floats(-5, 5, allow_subnormal=False)] * 2),
        min_size=3,
        max_size=20,
        unique_by=lambda pair: pair[0],
    )
)
def test_a_change_is_that_of_scipys_paired_test(pairs):
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    found = divergence.change("e", {"a": measure(before), "b": measure(after)}, "a", "b")
    if np.std([b - a for a, b in pairs]) > 1e-6:  # scipy warns of less
        expected = stats.ttest_rel(after, before)
        assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
        assert found.estimate.low == pytest.approx(expected.confidence_interval().low, abs=1e-9)
    assert found.spread == pytest.approx(np.std(before, ddof=1))


def test_less_is_better_where_the_evaluator_says_so():
    rises = {"a": measure([0, 0, 0, 1], better=-1), "b": measure([1, 1, 1, 1], better=-1)}
    found = divergence.change("harmful", rises, "a", "b").estimate
    assert found.value == -0.75
    assert found.low < found.value < found.high


def test_exams_without_questions_are_compared_by_their_errors():
    low, high = t_interval(0.5, 0.02, 99)
    assert interval_error(low, high, 99) == pytest.approx(0.02)
    exam = {"values": (), "prompts_digest": "", "estimate": Estimate(value=0.5, low=low, high=high, num=100)}
    worse = exam | {"estimate": Estimate(value=0.3, low=low - 0.2, high=high - 0.2, num=100)}
    rising = [list(np.linspace(start, start + 1, 30) + np.sin(range(30)) * 0.01) for start in (4, 6)]
    points = [point("a", rising[0], measure([1], **exam)), point("b", rising[1], measure([1], **worse))]
    ((ours, theirs),) = divergence.changes(points)
    assert (ours.verdict, theirs.verdict) == (1, -1)
    assert theirs.estimate.value == pytest.approx(-0.2)
    assert outside.warnings(points)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, (0.5, True)),
        ({"num": 1}, (0.5, False)),
        ({"num": 0}, (0.5, False)),
        ({"error": None}, (0.5, False)),
        ({"error": 1e308}, (0.5, False)),
        ({"value": float("nan")}, None),
        ({"value": float("-inf")}, None),
        ({"value": 1e300}, None),
    ],
)
def test_an_exam_is_told_as_far_as_it_is_a_number(said, told):
    row = {"task": "wikitext", "metric": "perplexity", "value": 0.5, "error": 0.1, "num": 9, "higher_is_better": False}
    found = outside_numbers("e", "examine", "exam", pa.Table.from_pylist([row | said]), {}, {}).measures
    assert [(each.estimate.value, each.estimate.low is not None) for each in found] == ([told] if told else [])


def test_an_exam_of_the_ends_alone_is_compared_with_the_untrained_model():
    low, high = t_interval(0.5, 0.02, 99)
    exam = {"values": (), "prompts_digest": "", "estimate": Estimate(value=0.5, low=low, high=high, num=100)}
    worse = exam | {"estimate": Estimate(value=0.3, low=low - 0.2, high=high - 0.2, num=100)}
    rising = [list(np.linspace(start, start + 1, 30) + np.sin(range(30)) * 0.01) for start in (4, 6, 8)]
    reward = [measure(scores, label="reward") for scores in rising]
    untrained = point("round 00", rising[0], measure([1], **exam, label="exam"))
    trained = [
        point("round 01", rising[1], reward[1]),
        point("round 02", rising[2], reward[2], measure([1], **worse, label="exam")),
    ]
    points = [untrained, *(each.model_copy(update={"training": object()}) for each in trained)]
    told = {theirs.name: (theirs.start, ours.verdict, theirs.verdict) for ours, theirs in divergence.changes(points)}
    assert told == {"e: exam": ("round 00", 1, -1), "e: reward": ("round 01", 1, 1)}
    [said] = outside.warnings(points)
    assert said.startswith("From round 00 to round 02 the judge's score rose by 4.00 while e: exam got worse by 0.20")
    [chart] = outside.outside(points).charts
    assert chart.caption.endswith("Not looked at in round 01, and only in the tables: e: exam.")


def test_several_measures_are_adjusted_for_their_number():
    chance = np.random.default_rng(1)
    start, other, fall = (chance.normal(size=40) for _ in range(3))
    fall *= 0.5 / fall.std(ddof=1)
    end = start + fall - fall.mean() - 2.5 * 0.5 / 40**0.5  # t = -2.5, p = 0.017
    scores = [list(start), list(start + 1)]
    names = [{"label": f"reward {number}"} for number in range(9)]
    alone = [point("a", scores[0], measure(list(start))), point("b", scores[1], measure(list(end)))]
    many = [
        point("a", scores[0], *(measure(list(start), **name) for name in names)),
        point("b", scores[1], measure(list(end), **names[0]), *(measure(list(other), **name) for name in names[1:])),
    ]
    assert divergence.changes(alone)[0][1].verdict == -1
    assert divergence.changes(many)[0][1].verdict == 0


def test_another_model_under_the_same_name_is_another_evaluator():
    points = [point("a", [1, 2], measure([1, 2])), point("b", [1, 2], measure([5, 6]), by="other")]
    assert list(divergence.followed(points)) == ["e: reward", "e by other: reward"]
    assert divergence.changes(points) == []


def test_what_is_missing_is_counted():
    section = outside.outside([point("a", [1, 2, 3], measure([1, None, 2]))])
    assert "e: reward is not known of up to 1 of 3 answers (a); they are in no mean." in section.lead


@pytest.mark.parametrize("num_lines", [2, 8])
def test_a_key_stands_above_what_is_drawn(num_lines: int) -> None:
    seen = []

    def paint(axes: Any) -> None:
        for number in range(num_lines):
            found = [Estimate(value=place, low=place - 1.0, high=place + number, num=9) for place in range(6)]
            series(axes, range(6), found, SERIES[number], f"an outside measure {number}")
        key(axes)
        seen.append(axes)

    draw("key", "key", paint)
    [axes] = seen
    [legend] = axes.figure.legends
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
    assert legend.get_window_extent().x1 <= axes.figure.bbox.x1
