"""Arena-Hard (arXiv 2406.11939): 500 hard questions of users, with no answers.

https://github.com/lmarena/arena-hard-auto, ``question.jsonl`` of v0.1 (``question_id, category, cluster, turns``) and
of v2.0 (``uid, category, subcategory, prompt``). Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alma.convert.question import Questions, first, first_turns
from alma.sources.row import Row


def questions(rows: Iterator[Row], file: str) -> Questions:
    """All of them, in one family."""
    published = "Arena-Hard's question.jsonl: question_id, category, cluster, turns; or uid, category, prompt"
    return first_turns(rows, file, "arena-hard", published, {"prompt": lambda text: text, "turns": _content})


def _content(turns: Any) -> Any:
    turn = first(turns)
    return turn.get("content") if isinstance(turn, Mapping) else None
