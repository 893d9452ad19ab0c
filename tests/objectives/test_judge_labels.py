"""What a judge's scores become to train on."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.objectives.judge import JUDGE, LABELS, one_hot, rounded, sharpened
from alma.sections import Finetune

DISTRIBUTIONS = st.lists(st.floats(1e-6, 1.0), min_size=11, max_size=11).map(lambda p: [each / sum(p) for each in p])
TEMPERATURES = st.floats(0.1, 0.99)


def mean(probs: list[float]) -> float:
    return sum(k * p for k, p in enumerate(probs))


@given(score=st.floats(0, 10))
def test_a_human_score_becomes_a_distribution_with_its_mean(score: float) -> None:
    probs = one_hot(score)
    assert sum(probs) == pytest.approx(1)
    assert mean(probs) == pytest.approx(score)
    assert sum(p > 0 for p in probs) <= 2


@given(score=st.floats(0, 10))
def test_a_rounded_score_has_all_its_mass_on_the_nearest_whole_rating(score: float) -> None:
    probs = rounded(score)
    assert sorted(probs) == [0.0] * 10 + [1.0]
    assert abs(mean(probs) - score) <= 0.5


@pytest.mark.parametrize(
    ("score", "rating"), [(0.0, 0), (0.49, 0), (0.5, 1), (1.5, 2), (8.5, 9), (8.7, 9), (9.4999, 9), (9.5, 10), (10, 10)]
)
def test_half_a_rating_goes_up(score: float, rating: int) -> None:
    assert rounded(score)[rating] == 1.0


def test_a_mean_beyond_the_scale_by_the_last_bit_of_a_sum_is_the_scales_end() -> None:
    assert rounded(10.000001)[10] == rounded(-0.000001)[0] == 1.0


@given(probs=DISTRIBUTIONS, temperature=TEMPERATURES)
def test_a_sharpened_distribution_is_one_with_less_entropy_and_the_same_order(
    probs: list[float], temperature: float
) -> None:
    sharp = sharpened(probs, temperature)
    assert sum(sharp) == pytest.approx(1)
    assert max(sharp) >= max(probs) - 1e-12
    assert sharp.index(max(sharp)) == probs.index(max(probs))
    entropy, before = (-sum(p * math.log(p) for p in each if p > 0) for each in (sharp, probs))
    assert entropy <= before + 1e-9
    top = probs.index(max(probs))
    for p, q in zip(probs, sharp, strict=True):
        assert q / sharp[top] == pytest.approx((p / probs[top]) ** (1 / temperature), rel=1e-9)


def test_a_sharpened_distribution_with_zeros_and_tiny_shares_stays_finite() -> None:
    assert sharpened([0.0, 1e-300, 1e-300, *[0.0] * 8], 0.01) == pytest.approx([0.0, 0.5, 0.5, *[0.0] * 8])


def test_every_label_of_the_setting_makes_a_distribution_and_the_judges_own_is_sharpened() -> None:
    row = {"prompt": "p", "response": "r", "parsed": True, "mean": 8.7, "probs": one_hot(8.7)}
    make = JUDGE.sources["judgement"].row
    targets = {}
    for labels in LABELS:
        made = make(Finetune.model_validate({"objective": "judge", "labels": labels}), row)
        assert made is not None
        targets[labels] = list(made["target"])
    assert targets["soft"] == one_hot(8.7)
    assert targets["rounded"] == rounded(9)
    assert targets["sharpened"] == pytest.approx([*[0.0] * 8, 0.09 / 0.58, 0.49 / 0.58, 0.0])
    assert JUDGE.defaults["labels"] == "sharpened"
    assert make(Finetune(objective="judge"), row | {"parsed": False}) is None


def test_the_setting_names_the_targets() -> None:
    assert set(get_args(Finetune.model_fields["labels"].annotation)) == set(LABELS)
