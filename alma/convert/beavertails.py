"""BeaverTails (arXiv 2307.04657): prompts that ask for harm, each with several responses and what is harmful in them.

https://huggingface.co/datasets/PKU-Alignment/BeaverTails: ``prompt, response, category, is_safe``; ``category`` holds a
flag for each of 14 kinds of harm, all of them false where ``is_safe``. CC BY-NC 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alma.convert.question import NO_TEXT, Questions, check_columns, usable
from alma.errors import DataError
from alma.sources.row import Row, shown

COLUMNS = ("prompt", "response", "category", "is_safe")


def questions(rows: Iterator[Row], file: str) -> Questions:
    """Families are the kinds of harm in any response to the prompt; safe responses are those to learn from.

    So a prompt that has only unsafe responses is for evaluation. Raises ``DataError`` for a row of another form.
    """
    found = Questions()
    for row in rows:
        check_columns(row, COLUMNS, file, "BeaverTails: prompt, response, category, is_safe")
        prompt, response, category, safe = (row.values[name] for name in COLUMNS)
        if not isinstance(category, Mapping) or not isinstance(safe, bool):
            raise DataError(
                f"{file} line {row.line}: category is {shown(category)} and is_safe {shown(safe)}; BeaverTails has a "
                "flag for each kind of harm there, and true or false"
            )
        if not usable(prompt, response):
            found.leave(NO_TEXT)
            continue
        question = found.of(prompt)
        question.families.update(str(name) for name, flag in category.items() if flag)
        if safe:
            question.responses.add(response)
    return found
