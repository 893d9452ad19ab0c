"""First losses of trainings on every architecture: those of each row alone and whole."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from alma.prompts import judge_prefix, judge_suffix
from tests.builders.training import RATED, TEMPLATE, curve, place, settings, train
from tests.engines.models.conftest import Subject

ANSWERED = [
    {"prompt": "ab cd", "response": "2 + 3 is 5"},
    {"prompt": "a", "response": "yes it is so and so on"},
    {"prompt": "what is 7 + 8 and", "response": "15"},
    {"prompt": "x y", "response": "q"},
]
PREFERRED = [
    {"prompt": "ab cd", "chosen": "2 + 3", "rejected": "n"},
    {"prompt": "what is longer than a window", "chosen": "it is so and so on", "rejected": "no"},
    {"prompt": "x y", "chosen": "q", "rejected": "a b c d"},
]
CLOSE = 3e-4
"""Losses are logged with four decimals."""

pytestmark = pytest.mark.filterwarnings("ignore")  # the trainers' own, about each model's config


def first(subject: Subject, folder: Path, rows: list[dict[str, Any]], **changes: Any) -> dict[str, float]:
    cfg = settings(epochs=1, learning_rate=1e-6, batch_rows=4, max_tokens=200, **changes)
    training = place(subject.folder, rows=rows, folder=folder)
    train(cfg, training)
    return curve(training)[0]


@pytest.mark.parametrize(
    ("micro_batch_rows", "packing"), [(4, True), (4, False), (1, True)], ids=["joined", "padded", "one by one"]
)
def test_sft(subject: Subject, tmp_path: Path, micro_batch_rows: int, packing: bool) -> None:
    found = first(subject, tmp_path, ANSWERED, micro_batch_rows=micro_batch_rows, packing=packing)
    plainly = subject.plainly
    total, count = 0.0, 0
    for row in ANSWERED:
        response = plainly.encode(f"{row['response']}</s>")
        total -= plainly.logprob(plainly.encode(f"<s><user>{row['prompt']}<assistant>"), response)
        count += len(response)
    assert found["loss"] == pytest.approx(total / count, abs=CLOSE)


@pytest.mark.parametrize("micro_batch_rows", [1, 4])
def test_dpo_begins_at_its_reference(subject: Subject, tmp_path: Path, micro_batch_rows: int) -> None:
    found = first(subject, tmp_path, PREFERRED, objective="dpo", micro_batch_rows=micro_batch_rows)
    assert found["loss"] == pytest.approx(math.log(2), abs=CLOSE)
    assert found["margin"] == pytest.approx(0, abs=CLOSE)


@pytest.mark.parametrize("micro_batch_rows", [1, 4])
def test_the_judge(subject: Subject, tmp_path: Path, micro_batch_rows: int) -> None:
    found = first(subject, tmp_path, RATED, objective="judge", micro_batch_rows=micro_batch_rows)
    plainly = subject.plainly
    losses = [
        plainly.rating_loss(
            plainly.encode(judge_prefix(TEMPLATE, row["prompt"]) + judge_suffix(TEMPLATE, row["response"])),
            row["target"],
        )
        for row in RATED
    ]
    assert found["loss"] == pytest.approx(sum(losses) / len(losses), abs=CLOSE)
