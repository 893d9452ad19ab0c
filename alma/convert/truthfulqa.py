"""TruthfulQA (arXiv 2109.07958): questions that people answer falsely, with true and false answers.

https://github.com/sylinrl/TruthfulQA, ``TruthfulQA.csv``: Type, Category, Question, Best Answer, Correct Answers,
Incorrect Answers, Source (since 2025 also Best Incorrect Answer); answers are separated by semicolons.
https://huggingface.co/datasets/truthfulqa/truthful_qa, ``generation``: the same in lists. Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alma.convert.question import NO_TEXT, Questions, check_columns, check_text, usable
from alma.errors import DataError
from alma.sources.row import Row, shown

CSV = ("Question", "Best Answer", "Correct Answers", "Incorrect Answers", "Category")
HUB = ("question", "best_answer", "correct_answers", "incorrect_answers", "category")
PUBLISHED = f"TruthfulQA.csv: {', '.join(CSV)}; or the Hub's: {', '.join(HUB)}"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """The best answer is the one to learn from, and the reference; it counts among the true ones, as in the paper.

    Raises ``DataError`` for a row of another form.
    """
    found = Questions()
    for row in rows:
        names = HUB if HUB[0] in row.values else CSV
        check_columns(row, names, file, PUBLISHED)
        check_text(row, names[4], file, PUBLISHED)
        prompt, best, true, false, category = (row.values[name] for name in names)
        if not usable(prompt, best):
            found.leave(NO_TEXT)
            continue
        question = found.of(prompt)
        question.responses = [best.strip()]
        question.reference = best.strip()
        question.families = [category] if category else []
        question.true_references = list(dict.fromkeys([best.strip(), *_answers(true, file, row.line)]))
        question.false_references = _answers(false, file, row.line)
        if not question.false_references:
            raise DataError(f"{file} line {row.line}: {names[3]!r} is empty, and true answers are compared with false")
    return found


def _answers(value: Any, file: str, line: int) -> list[str]:
    several = value.split(";") if isinstance(value, str) else value
    if not isinstance(several, list) or not all(isinstance(each, str) for each in several):
        raise DataError(f"{file} line {line}: answers are {shown(value)}, and neither a list nor separated by ';'")
    return [each.strip() for each in several if each.strip()]
