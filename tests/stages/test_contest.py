"""The stage ``contest``: who is preferred how often, and what of it is length."""

from __future__ import annotations

from typing import Any

import pytest

from alma.artifact import Rows
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Answers
from alma.stages import contest
from alma.win_rate import WinRate, win_rate
from tests.builders.bench import Bench
from tests.builders.results import pairs, results

CFG = Answers(name="other", answers={"source": "x"}, by="rm", seed=3)
OURS = {f"q{i}": "a" * (1 + i) for i in range(8)}
EDGES = ("", "_low", "_high")
THEIRS = {prompt: "b" * 4 for prompt in OURS if prompt != "q7"}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 30)


def judged(bench: Bench, given: Rows, column: str, values: list[float | None]) -> Rows:
    """What an evaluator says of the rows of ``given``, in another order."""
    ids = given.table(["id"])["id"].to_pylist()
    rows: list[dict[str, Any]] = [
        {"result_id": each, "evaluator": "ingest/rm", column: value, "fault": "long" if value is None else None}
        for each, value in zip(ids, values, strict=True)
    ]
    return bench.rows("assessment", rows[::-1])


@pytest.fixture
def given(bench: Bench) -> dict[str, Rows]:
    return {"results": results(bench, OURS, family="f"), "others": pairs(bench, THEIRS)}


def test_the_higher_reward_wins(bench: Bench, given: dict[str, Rows]) -> None:
    rewards = judged(bench, given["results"], "score", [-1.5, 2.0, 0.25, None, 5.0, 1.0, 1.0, 9.0])
    others = judged(bench, given["others"], "score", [-2.5, 3.0, 0.25, 1.0, None, 0.0, 0.0])
    found = bench.run(contest, CFG, **given, rewards=rewards, other_rewards=others)
    rows = found.table().to_pylist()
    preferences = [1.0, 0.0, 0.5, None, None, 1.0, 1.0, None]
    assert [row["preference"] for row in rows] == preferences
    assert [row["fault"] for row in rows] == [None] * 3 + ["long", "long", None, None, "missing"]
    assert (rows[0]["score"], rows[0]["other_score"], rows[0]["evaluator"]) == (-1.5, -2.5, "ingest/rm")
    assert [row["num_chars"] for row in rows] == list(range(1, 9))
    assert [row["other_num_chars"] for row in rows] == [4] * 7 + [None]
    assert {row["family"] for row in rows} == {"f"}
    metrics = found.manifest.metrics
    assert (metrics["num_compared"], metrics["num_draws"], metrics["num_without_preference"]) == (5, 1, 3)
    assert tuple(metrics[f"win_rate{edge}"] for edge in EDGES) == tuple(win_rate([1.0, 0.0, 0.5, 1.0, 1.0], 3))


def test_judgements_of_other_answers_are_named(bench: Bench, given: dict[str, Rows]) -> None:
    ours, theirs = (judged(bench, given[port], "score", [1.0] * len(given[port])) for port in ("results", "others"))
    said = r"says nothing of the answer .*: it is of other answers; give that of these"
    with pytest.raises(DataError, match=said):
        bench.run(contest, CFG, **given, rewards=theirs, other_rewards=theirs)
    with pytest.raises(DataError, match=said):
        bench.run(contest, CFG, **given, rewards=ours, other_rewards=ours)
    with pytest.raises(DataError, match=said):
        bench.run(contest, CFG, **given, preferences=theirs)


def test_a_served_models_preferences_are_taken_as_they_are(bench: Bench, given: dict[str, Rows]) -> None:
    preferences = [1.0, 1.0, 0.5, None, 1.0, 1.0, 1.0, None]
    said = judged(bench, given["results"], "preference", preferences)
    found = bench.run(contest, CFG, **given, preferences=said)
    assert found.table(["preference"])["preference"].to_pylist() == preferences
    assert found.manifest.metrics["win_rate"] == pytest.approx(5.5 / 6)


def test_who_always_wins_has_a_win_rate_of_one_and_nothing_of_it_is_told_to_be_length(
    bench: Bench, given: dict[str, Rows]
) -> None:
    found = bench.run(contest, CFG, **given, preferences=judged(bench, given["results"], "preference", [1.0] * 8))
    metrics = found.manifest.metrics
    assert metrics["win_rate"] == metrics["win_rate_low"] == 1.0
    assert "length_controlled_win_rate" not in metrics


def test_too_few_prompts_have_no_length_controlled_rate(bench: Bench, given: dict[str, Rows]) -> None:
    said = judged(bench, given["results"], "preference", [1.0, 0.0, 1.0, 1.0, *[None] * 4])
    metrics = bench.run(contest, CFG, **given, preferences=said).manifest.metrics
    assert metrics["win_rate"] == 0.75
    assert "length_controlled_win_rate" not in metrics


@pytest.mark.parametrize(("rate", "shown"), [(WinRate(0.6, 0.5, 0.7), True), (WinRate(0.5, 0.5, 0.5), False)])
def test_a_rate_at_equal_length_is_shown_where_it_has_a_width(
    bench: Bench, given: dict[str, Rows], monkeypatch: pytest.MonkeyPatch, rate: WinRate, shown: bool
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(contest, "length_controlled_win_rate", lambda *args, seed: asked.append((*args, seed)) or rate)
    said = judged(bench, given["results"], "preference", [1.0, 0.0, 1.0, 0.5, 0.0, 1.0, None, None])
    metrics = bench.run(contest, CFG, **given, preferences=said).manifest.metrics
    assert asked == [([1.0, 0.0, 1.0, 0.5, 0.0, 1.0], [1, 2, 3, 4, 5, 6], [4] * 6, 3)]
    found = tuple(metrics.get(f"length_controlled_win_rate{edge}") for edge in EDGES)
    assert found == (tuple(rate) if shown else (None,) * 3)


def test_no_preference_at_all_is_an_error(bench: Bench, given: dict[str, Rows]) -> None:
    said = judged(bench, given["results"], "preference", [None] * 8)
    with pytest.raises(StageError, match="no answer was compared"):
        bench.run(contest, CFG, **given, preferences=said)


def test_what_prefers_has_to_be_one(bench: Bench, given: dict[str, Rows]) -> None:
    said = judged(bench, given["results"], "preference", [1.0] * 8)
    for inputs in ({}, {"rewards": said}, {"rewards": said, "other_rewards": said, "preferences": said}):
        with pytest.raises(ConfigError, match="rewards and other_rewards, or the input preferences alone"):
            bench.run(contest, CFG, **given, **inputs)
