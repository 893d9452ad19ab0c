"""MT-Bench (arXiv 2306.05685): 80 questions of two turns in eight categories.

https://github.com/lm-sys/FastChat, ``fastchat/llm_judge/data/mt_bench/question.jsonl``: ``question_id, category,
turns``, some with ``reference``, which are a model's answers. Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import ASKED_AGAIN, NO_TEXT, Questions, first, first_turns, usable
from alma.errors import DataError
from alma.sources.row import Row, shown
from alma.text.normalise import normalise

PUBLISHED = "MT-Bench's question.jsonl: question_id, category, turns"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """The turns of each; a model answers the first one before it is asked the second. Of those that open alike, one."""
    read = list(rows)
    found = first_turns(iter(read), file, "mt-bench", PUBLISHED, {"turns": first})
    later: dict[str, list[str]] = {}
    for row in read:
        key, turns = normalise(first(row.values["turns"])), _later(row, file)
        if key in later:
            found.leave(ASKED_AGAIN)
        later[key] = min(turns, later.get(key, turns))
    for question in found.all():
        question.later = later[normalise(question.prompt)]
    return found


def _later(row: Row, file: str) -> list[str]:
    turns: list[str] = row.values["turns"][1:]
    for turn in turns:
        if not usable(turn, "any"):
            raise DataError(
                f"{file} line {row.line}: a later turn is {shown(turn)}, {NO_TEXT}. Expected is {PUBLISHED}"
            )
    return turns
