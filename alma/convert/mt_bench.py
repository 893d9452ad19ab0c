"""MT-Bench (arXiv 2306.05685): 80 questions of two turns in eight categories.

https://github.com/lm-sys/FastChat, ``fastchat/llm_judge/data/mt_bench/question.jsonl``: ``question_id, category,
turns``, some with ``reference``, which are a model's answers. Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import Questions, first, first_turns
from alma.sources.rows import Row
from alma.text.normalise import normalise

PUBLISHED = "MT-Bench's question.jsonl: question_id, category, turns"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """The turns of each; a model answers the first one before it is asked the second."""
    read = list(rows)
    found = first_turns(iter(read), file, "mt-bench", PUBLISHED, {"turns": first})
    later = {normalise(row.values["turns"][0]): row.values["turns"][1:] for row in read if _has_turns(row)}
    for question in found.all():
        question.later = later.get(normalise(question.prompt), [])
    return found


def _has_turns(row: Row) -> bool:
    turns = row.values.get("turns")
    return isinstance(turns, list) and bool(turns) and all(isinstance(each, str) and each.strip() for each in turns)
