"""MT-Bench (arXiv 2306.05685): 80 questions of two turns in eight categories.

https://github.com/lm-sys/FastChat, ``fastchat/llm_judge/data/mt_bench/question.jsonl``: ``question_id, category,
turns``, some with ``reference``, which are a model's answers. Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import Question, first_turns
from alma.sources.rows import Row


def questions(rows: Iterator[Row], file: str) -> list[Question]:
    """The first turn of each; the second one needs an answer to it."""
    return first_turns(rows, file, "mt-bench", "MT-Bench's question.jsonl: question_id, category, turns")
