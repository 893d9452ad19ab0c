"""HelpSteer2 (arXiv 2406.08673): prompts with two models' responses, rated by people on five scales of 0 to 4.

https://huggingface.co/datasets/nvidia/HelpSteer2, ``train.jsonl.gz`` and ``validation.jsonl.gz``: ``prompt, response,
helpfulness, correctness, coherence, complexity, verbosity``. CC BY 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from alma.convert.question import NO_TEXT, Questions, check_columns, usable
from alma.errors import DataError
from alma.sources.row import Row, shown

COLUMNS = ("prompt", "response", "helpfulness")

BEST = 4
"""Of the set's scale; the judge's goes to 10, so a point is 2.5."""

TURN = re.compile(r"<extra_id_1>(User|Assistant)[ \t]*\n+")
"""Stands, with line ends before it, before every turn but the first one of a prompt that is a conversation; its last
turn's answer is rated."""


def questions(rows: Iterator[Row], file: str) -> Questions:
    """Scores are the helpfulness, from 0..4 to 0..10. Prompts of several turns become conversations (``messages``).

    What opens alike is one question, so that no opening is both learnt from and held out. Of a response that is rated
    again the lower score counts. Raises ``DataError`` for a
    row of another form.
    """
    found = Questions()
    scores: dict[tuple[str, ...], float] = {}
    for row in rows:
        check_columns(row, COLUMNS, file, "HelpSteer2: prompt, response, helpfulness, …")
        prompt, response, rating = (row.values[name] for name in COLUMNS)
        if isinstance(rating, bool) or not isinstance(rating, int | float) or not 0 <= rating <= BEST:
            raise DataError(f"{file} line {row.line}: helpfulness is {shown(rating)}; HelpSteer2's is 0 to {BEST}")
        asked = turns(prompt) if isinstance(prompt, str) else [prompt]
        if asked is None:
            found.leave("who says what in its prompt is unclear")
        elif not all(usable(text, response) for text in asked):
            found.leave(NO_TEXT)
        else:
            said, score = (*asked, response), rating * 10 / BEST
            if said in scores:
                found.leave("the same response once more")
            scores[said] = min(score, scores.get(said, score))
    for said, score in scores.items():
        question = found.of(said[0])
        question.responses.add(said[-1])
        question.scored = question.scored or []
        question.scored.append(_row(said, score))
    for question in found.all():
        question.scored = sorted(question.scored or [], key=repr)
    return found


def turns(prompt: str) -> list[str] | None:
    """What user and assistant say in turn, the user first and last; ``None`` where they do not take turns."""
    first, *others = TURN.split(prompt)
    *before, last = first, *others[1::2]
    texts = [*(text.rstrip("\n") for text in before), last]
    speakers = ["User", *others[::2]]
    in_turn = all(speaker == ("User", "Assistant")[place % 2] for place, speaker in enumerate(speakers))
    return texts if in_turn and len(texts) % 2 and not any("<extra_id_" in text for text in texts) else None


def _row(said: Sequence[str], score: float) -> dict[str, Any]:
    """The row of ``scores.jsonl`` for what user and assistant said in turn."""
    if len(said) == 2:
        return {"prompt": said[0], "response": said[1], "score": score}
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)], "score": score}
