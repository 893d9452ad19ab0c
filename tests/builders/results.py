"""Rows of an evaluation, and of a comparator's answers, made by hand."""

from __future__ import annotations

from typing import Any

from alma.artifact import Rows
from tests.builders.bench import Bench

BLANK = {
    "checkpoint_id": "finetune/c",
    "judge_id": "finetune/j",
    "num_tokens": 3,
    "ended": True,
    "mean": 5.0,
    "std": 0.0,
    "parsed": True,
}


def results(bench: Bench, answers: dict[str, str], **more: Any) -> Rows:
    """A result for each prompt → answer."""
    rows = [
        BLANK | {"prompt_id": f"p{i}", "prompt": prompt, "response": answers[prompt]} | more
        for i, prompt in enumerate(answers)
    ]
    return bench.rows("result", rows)


def pairs(bench: Bench, answers: dict[str, str]) -> Rows:
    """A comparator's answers."""
    return bench.rows("pair", [{"source_id": p, "prompt": p, "response": r} for p, r in answers.items()])
