"""AlpacaEval (https://github.com/tatsu-lab/alpaca_eval): 805 instructions, with the answers of one model.

``alpaca_eval.json``: a list of ``instruction, output, generator, dataset``; files of other models' answers are alike.
CC BY-NC 4.0. Its outputs are a model's and are compared by preference: they are no references.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import NO_TEXT, Questions, check_columns, check_text, usable
from alma.sources.row import Row

COLUMNS = ("instruction", "output", "generator", "dataset")
PUBLISHED = "alpaca_eval.json: instruction, output, generator, dataset"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """Families are the sets that the instructions were taken from (``helpful_base``, ``vicuna``, …)."""
    found = Questions()
    for row in rows:
        check_columns(row, COLUMNS, file, PUBLISHED)
        check_text(row, "dataset", file, PUBLISHED)
        prompt, response, _, family = (row.values[name] for name in COLUMNS)
        if not usable(prompt, response):
            found.leave(NO_TEXT)
            continue
        question = found.of(prompt)
        question.families.add(family)
        question.responses.add(response)
    return found
