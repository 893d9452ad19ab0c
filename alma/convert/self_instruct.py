"""Self-Instruct's own instructions (arXiv 2212.10560): 252 tasks that people wrote for users.

https://github.com/yizhongw/self-instruct, ``human_eval/user_oriented_instructions.jsonl``: ``id, motivation_app,
instruction, instances`` (of ``input, output``). Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import NO_TEXT, Questions, check_columns, check_text, usable
from alma.errors import DataError
from alma.sources.row import Row, shown

COLUMNS = ("instruction", "instances")
PUBLISHED = "user_oriented_instructions.jsonl: instruction, instances, …"


def questions(rows: Iterator[Row], file: str) -> Questions:
    """An instruction with the input of its first instance, an empty line between; its output is one answer of many.

    Raises ``DataError`` for a row of another form.
    """
    found = Questions()
    for row in rows:
        check_columns(row, COLUMNS, file, PUBLISHED)
        check_text(row, "instruction", file, PUBLISHED)
        instruction, instances = (row.values[name] for name in COLUMNS)
        first = instances[0] if isinstance(instances, list) and instances else None
        if not isinstance(first, dict) or not isinstance(first.get("input", ""), str):
            raise DataError(f"{file} line {row.line}: instances is {shown(instances)}, and no list of input and output")
        given = first.get("input", "").strip()
        prompt = f"{instruction}\n\n{given}" if given else instruction
        if usable(prompt, "any"):
            found.of(prompt).families = {"self-instruct"}
        else:
            found.leave(NO_TEXT)
    return found
