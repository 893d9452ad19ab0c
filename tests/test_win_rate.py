"""Win rates, against those of the package alpaca_eval on the same numbers; ``win_rates.json`` names its release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alma.win_rate import _fitted, length_controlled_win_rate, win_rate

CASES = json.loads(Path(__file__).with_name("win_rates.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(params=CASES, ids=lambda case: case["name"])
def case(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_plain_win_rate(case: Any) -> None:
    found = win_rate(case["preferences"])
    assert found.mean == pytest.approx(case["win_rate"])
    assert found.low <= found.mean <= found.high


@pytest.mark.parametrize("by_difficulty", [False, True])
def test_the_length_controlled_win_rate_is_the_references(
    case: Any, by_difficulty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 20)
    given = (case["preferences"], case["lengths"], case["baseline_lengths"])
    found = length_controlled_win_rate(*given, case["difficulties"] if by_difficulty else None)
    wanted = case["length_controlled_by_difficulty" if by_difficulty else "length_controlled"]
    assert found.mean == pytest.approx(wanted, abs=1e-3)
    assert 0 <= found.low <= found.high <= 1


def test_a_judge_that_loves_length_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer answer always wins and half of the model's are much longer: equal lengths would win half."""
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 20)
    rng = np.random.default_rng(3)
    other = rng.integers(100, 200, 300)
    lengths = other + rng.choice([-20, 200, 300, 400], 300)
    wins = (lengths > other).astype(float)
    assert win_rate(wins).mean > 0.7
    assert length_controlled_win_rate(wins, lengths, other).mean < 0.55


def test_what_is_no_preference() -> None:
    for wrong in ([], [0.5, 1.2], [-0.1], [float("nan")]):
        with pytest.raises(ValueError, match="preferences are numbers of 0 to 1"):
            win_rate(wrong)
    with pytest.raises(ValueError, match="lengths of 5 answers for 6 preferences"):
        length_controlled_win_rate([1, 0, 1, 0, 1, 0], [1] * 5, [1] * 5)
    with pytest.raises(ValueError, match="4 prompts are too few"):
        length_controlled_win_rate([1, 0, 1, 0], [1, 2, 3, 4], [2, 2, 2, 2])


def test_equal_lengths_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 20)
    wins = np.repeat([1.0, 0.0], [70, 30])
    found = length_controlled_win_rate(wins, [10] * 100, [10] * 100)
    assert found.mean == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("winner", [0.0, 1.0])
def test_who_wins_everything_is_told_from_who_loses_everything(
    winner: float, capfd: pytest.CaptureFixture[str]
) -> None:
    """The regression of one label alone is that of both in the limit, and says nothing on standard error."""
    lengths = np.random.default_rng(0).integers(50, 150, 30)
    features = np.stack([np.tanh((lengths - 100) / lengths.std()), np.ones(30)], axis=1)
    nearly = np.abs(winner - np.r_[np.zeros(29), 1e-6])
    for strength in (0.01, 1.0, 30.0):
        found = _fitted(features, np.full(30, winner), strength)
        assert found == pytest.approx(_fitted(features, nearly, strength), abs=0.01)
    assert capfd.readouterr().err == ""


def test_one_win_of_ten_is_no_reason_for_an_interval_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the resamples have no win at all."""
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 40)
    monkeypatch.setattr("alma.win_rate.STRENGTHS", np.array([100.0]))
    found = length_controlled_win_rate(np.r_[1.0, np.zeros(9)], np.arange(10) + 100, np.full(10, 104))
    assert found.high < 0.7


def test_an_interval_holds_what_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percentiles of resamples need not; a page draws the rest of the interval to each side."""
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 1)
    for seed in range(4):
        found = win_rate([1.0, 0.0, 0.0, 0.3, 0.9, 0.2], seed)
        assert found.low <= found.mean <= found.high
