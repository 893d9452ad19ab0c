"""TruthfulQA (arXiv 2109.07958): questions that people answer falsely, with true and false answers.

https://github.com/sylinrl/TruthfulQA, ``TruthfulQA.csv``: Type, Category, Question, Best Answer, Correct Answers,
Incorrect Answers, Source (since 2025 also Best Incorrect Answer); answers are separated by semicolons.
https://huggingface.co/datasets/truthfulqa/truthful_qa, ``generation``: the same in lists. Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alma.convert.question import ASKED_AGAIN, NO_TEXT, Questions, check_columns, check_text, usable
from alma.errors import DataError
from alma.sources.row import Row, shown
from alma.text.normalise import normalise

CSV = ("Question", "Best Answer", "Correct Answers", "Incorrect Answers", "Category")
HUB = ("question", "best_answer", "correct_answers", "incorrect_answers", "category")
PUBLISHED = f"TruthfulQA.csv: {', '.join(CSV)}; or the Hub's: {', '.join(HUB)}"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """The best answer is the one to learn from, and the reference; it counts among the true ones, as in the paper.

    Of rows that ask the same, one is kept. Raises ``DataError`` for a row of another form.
    """
    found = Questions()
    kept: dict[str, tuple[str, list[str], list[str], str]] = {}
    for row in rows:
        names = HUB if HUB[0] in row.values else CSV
        check_columns(row, names, file, PUBLISHED)
        check_text(row, names[4], file, PUBLISHED)
        prompt, best, true, false, category = (row.values[name] for name in names)
        if not usable(prompt, best):
            found.leave(NO_TEXT)
            continue
        right, wrong = _answers(true, file, row.line), _answers(false, file, row.line)
        if not wrong:
            raise DataError(f"{file} line {row.line}: {names[3]!r} is empty, and true answers are compared with false")
        answered = (best.strip(), list(dict.fromkeys([best.strip(), *right])), wrong, category)
        key = normalise(prompt)
        if key in kept:
            found.leave(ASKED_AGAIN)
        kept[key] = min(answered, kept.get(key, answered))
        question = found.of(prompt)
        question.reference, question.true_references, question.false_references, category = kept[key]
        question.responses = {question.reference}
        question.families = {category} if category else set()
    return found


def _answers(value: Any, file: str, line: int) -> list[str]:
    several = value.split(";") if isinstance(value, str) else value
    if not isinstance(several, list) or not all(isinstance(each, str) for each in several):
        raise DataError(f"{file} line {line}: answers are {shown(value)}, and neither a list nor separated by ';'")
    return [each.strip() for each in several if each.strip()]
