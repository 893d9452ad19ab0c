"""LIMA's test prompts (arXiv 2305.11206): 300 questions.

https://huggingface.co/datasets/GAIR/lima, ``test.jsonl``: ``conversations`` (a list of texts, the user's first) and
``source``. CC BY-NC-SA.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import Questions, first, first_turns
from alma.sources.row import Row


def questions(rows: Iterator[Row], file: str) -> Questions:
    """All of them, in one family."""
    return first_turns(rows, file, "lima", "LIMA's test.jsonl: conversations, source", {"conversations": first})
