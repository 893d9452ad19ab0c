"""Daring-Anteater (arXiv 2406.08673): conversations to learn from, mostly written by models.

https://huggingface.co/datasets/nvidia/Daring-Anteater, ``train.jsonl``: ``system, mask, dataset, conversations``, the
last a list of ``from, value``. CC BY 4.0. The paper's SFT seeds are 5,000 rows of it (section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator

from alma.convert.question import NO_TEXT, Questions, check_columns, usable
from alma.sources.exchange import first_exchange, read_turns
from alma.sources.row import Row
from alma.sources.values import Fault

COLUMNS = ("system", "conversations")


def questions(rows: Iterator[Row], file: str) -> Questions:
    """Whole conversations with their system turn, one of those that open alike; families are the sets they are from."""
    found = Questions()
    for row in rows:
        check_columns(row, COLUMNS, file, "Daring-Anteater: system, conversations, …")
        system, listed = (row.values[name] for name in COLUMNS)
        if isinstance(system, str) and not system.strip():
            system = None
        try:
            turns = read_turns(listed if isinstance(listed, list) else [], COLUMNS[1])
            first = first_exchange(turns, COLUMNS[1])
        except Fault as fault:  # who answers whom is unclear, or a tool is called
            found.leave(fault.reason)
            continue
        if first.answer is None:
            found.leave("no answer")
            continue
        if not all(
            usable(text, "any") for text in [*(turn.text for turn in turns), *([] if system is None else [system])]
        ):
            found.leave(NO_TEXT)
            continue
        said = [{"role": turn.role, "content": turn.text} for turn in turns]
        if said[-1]["role"] == "user":  # nobody answers it
            said.pop()
        if system is not None and said[0]["role"] != "system":
            said = [{"role": "system", "content": system}, *said]
        question = found.of(first.user.text)
        if question.messages is not None:
            found.leave("opens like another one")
        if question.messages is None or repr(said) < repr(question.messages):
            question.messages, question.responses = said, {first.answer.text}
            question.families = {str(row.values.get("dataset"))}
    return found
