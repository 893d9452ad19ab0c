"""How far a run is, and when it will be done."""

from __future__ import annotations

import pytest

from alma.pace import Step, progress


def rounds() -> list[Step]:
    """Three rounds of feedback of 100 s, the second one begun."""
    return [
        Step("base model", "sealed", 0, 10),
        Step("round 01 · evaluate", "sealed", 10, 20),
        Step("round 02 · respond", "sealed", 100, 150),
        Step("round 02 · finetune", "succeeded", 150, 200),
        Step("round 03 · respond", "running", 200, None, share=0.5),
        Step("round 03 · finetune", "waiting"),
        Step("round 04 · respond", "waiting"),
        Step("round 04 · finetune", "waiting"),
    ]


def test_rounds_are_counted_from_the_first_of_feedback() -> None:
    at = progress(rounds(), 220)
    assert (at.rounds_done, at.rounds, at.steps_done, at.steps) == (1, 3, 4, 8)
    assert at.percent == 56
    assert at.layer == "round 03"
    assert str(at) == "1 of 3 rounds, 4 of 8 steps, 56%"


def test_a_round_of_more_digits_than_python_reads_is_none() -> None:
    assert Step(f"round {'9' * 5000} · respond", "sealed").round is None


def test_the_rounds_left_take_as_long_as_the_last_one() -> None:
    assert progress(rounds(), 220).left_seconds == 180
    assert progress(rounds(), 420).left_seconds == 220, "a round that is slower than the last one"


def test_a_method_without_rounds_goes_by_the_kinds_of_its_steps() -> None:
    steps = [
        Step("repeat 1 · isara 1 · imitate", "sealed", 0, 30),
        Step("repeat 1 · isara 1 · evaluate", "sealed", 30, 40),
        Step("repeat 2 · isara 1 · imitate", "running", 40),
        Step("repeat 2 · isara 1 · evaluate", "waiting"),
    ]
    at = progress(steps, 50)
    assert (at.left_seconds, at.layer, str(at)) == (30, "repeat 2 · isara 1", "2 of 4 steps, 50%")
    unknown = [*steps, Step("repeat 2 · isara 1 · report", "waiting")]
    assert progress(unknown, 50).left_seconds is None


@pytest.mark.parametrize(("states", "percent"), [(["sealed"] * 3, 100), (["sealed", "sealed", "failed"], 66), ([], 0)])
def test_it_is_all_only_when_all_is_done(states: list[str], percent: int) -> None:
    assert progress([Step(f"step {i}", state, 0, 1) for i, state in enumerate(states)], 5).percent == percent
    nearly = [Step(f"step {i}", "sealed") for i in range(999)] + [Step("last", "running", share=1.0)]
    assert progress(nearly, 5).percent == 99
