"""HelpSteer2 (arXiv 2406.08673): prompts with two models' responses, rated by people on five scales of 0 to 4.

https://huggingface.co/datasets/nvidia/HelpSteer2, ``train.jsonl.gz`` and ``validation.jsonl.gz``: ``prompt, response,
helpfulness, correctness, coherence, complexity, verbosity``. CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import Question, Questions, check_columns, usable
from alma.errors import DataError
from alma.sources.rows import Row, shown

COLUMNS = ("prompt", "response", "helpfulness")

BEST = 4
"""Of the set's scale; the judge's goes to 10, so a point is 2.5."""

TURN = "<extra_id_1>"
"""Stands between the turns of a prompt that is a conversation; its last answer was rated, not the first."""


def questions(rows: Iterator[Row], file: str) -> list[Question]:
    """Scores are the helpfulness, from 0..4 to 0..10. Prompts of several turns are left out.

    Raises ``DataError`` for a row of another form.
    """
    found = Questions()
    for row in rows:
        check_columns(row, COLUMNS, file, "HelpSteer2: prompt, response, helpfulness, …")
        prompt, response, rating = (row.values[name] for name in COLUMNS)
        if isinstance(rating, bool) or not isinstance(rating, int | float) or not 0 <= rating <= BEST:
            raise DataError(f"{file} line {row.line}: helpfulness is {shown(rating)}; HelpSteer2's is 0 to {BEST}")
        if not usable(prompt, response) or TURN in prompt:
            continue
        question = found.of(prompt)
        question.scores = question.scores or []
        if response not in question.responses:
            question.responses.append(response)
            question.scores.append(rating * 10 / BEST)
    for question in found.all():
        pairs = sorted(zip(question.responses, question.scores or [], strict=True))
        question.responses, question.scores = [text for text, _ in pairs], [score for _, score in pairs]
    return found.all()
