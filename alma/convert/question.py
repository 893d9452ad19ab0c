"""The questions of a public set, in one form for all sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alma.errors import DataError
from alma.sources.columns import Columns
from alma.sources.row import Row, shown
from alma.sources.values import Fault
from alma.text.normalise import normalise


@dataclass(slots=True)
class Question:
    """One question; several rows may have it.

    ``responses`` are those to learn from; without any, the question is for evaluation only. Where it has ``scored``
    rows, all of them are learnt from, and else one. It has both true and false references, or neither.
    """

    prompt: str
    responses: set[str] = field(default_factory=set)
    families: set[str] = field(default_factory=set)
    reference: str | None = None
    true_references: list[str] | None = None
    false_references: list[str] | None = None
    scored: list[dict[str, Any]] | None = None
    """The rows of ``scores.jsonl`` that begin with the prompt: a score of 0..10 by people in each."""

    messages: list[dict[str, str]] | None = None
    """The whole conversation that the prompt opens, its system turn first where there is one."""

    later: list[str] = field(default_factory=list)
    """What is asked next, behind an answer of the model's own to the prompt."""

    def evaluation_rows(self) -> list[dict[str, Any]]:
        """A row of ``evaluation.jsonl``, and one for each later turn with those before it (``turns = "all"``)."""
        families = self._family()
        asked = [self.prompt, *self.later]
        return [
            self._evaluation_row(),
            *(
                {
                    "messages": [{"role": "user", "content": text} for text in asked[:number]],
                    "family": f"{families} turn {number}".strip(),
                }
                for number in range(2, len(asked) + 1)
            ),
        ]

    def _family(self) -> str:
        return "; ".join(sorted(self.families))

    def _evaluation_row(self) -> dict[str, Any]:
        """The columns that this set has."""
        row = {
            "prompt": self.prompt,
            "family": self._family() or None,
            "reference": self.reference,
            "true_references": self.true_references,
            "false_references": self.false_references,
        }
        return {name: value for name, value in row.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Converted:
    """The rows of each file, the questions that are in none, and the set's rows that became no question, by reason."""

    files: Mapping[str, Sequence[dict[str, Any]]]
    num_left: int
    unusable: Mapping[str, int] = field(default_factory=dict)


class Questions:
    """Questions by their normalised prompt: rows that ask the same are one question."""

    def __init__(self) -> None:
        self._found: dict[str, Question] = {}
        self.unusable: Counter[str] = Counter()
        """Reason → rows that are left out for it."""

    def leave(self, reason: str) -> None:
        """Counts a row that is left out."""
        self.unusable[reason] += 1

    def of(self, prompt: str) -> Question:
        """The question with this prompt; of several spellings it keeps the first in alphabetical order."""
        question = self._found.setdefault(normalise(prompt), Question(prompt))
        question.prompt = min(question.prompt, prompt)
        return question

    def all(self) -> list[Question]:
        """In the order of their normalised prompts, so that the order in the file does not matter."""
        return [question for _, question in sorted(self._found.items())]


_PLAIN = Columns("pairs", {})

ASKED_AGAIN = "asks what another row does"
"""Why a row is left out of a set that has one row for each question."""

NO_TEXT = "no text, an empty one, or control characters in it"
"""Why a row is left out that ``usable`` says no to."""


def usable(prompt: Any, response: Any) -> bool:
    """Whether ``ingest`` would take these as a prompt and its response: texts, not empty, no control characters."""
    if not isinstance(prompt, str) or not isinstance(response, str):  # a list would be read as a conversation
        return False
    try:
        _PLAIN.read({"prompt": prompt, "response": response})
    except Fault:
        return False
    return True


def check_columns(row: Row, wanted: Iterable[str], file: str, published: str) -> None:
    """Raises ``DataError`` where ``row`` lacks a column that the set is published with."""
    missing = [name for name in wanted if name not in row.values]
    if missing:
        raise DataError(
            f"{file} line {row.line}: no column {missing[0]!r}; it has {', '.join(map(repr, list(row.values)[:12]))}. "
            f"Expected is {published}"
        )


def check_text(row: Row, column: str, file: str, published: str) -> None:
    """Raises ``DataError`` where ``row`` holds something else than a text there, which may be empty."""
    if not isinstance(row.values[column], str):
        raise DataError(
            f"{file} line {row.line}: {column} is {shown(row.values[column])}, and no text. Expected is {published}"
        )


def first_turns(
    rows: Iterator[Row], file: str, family: str, published: str, read: Mapping[str, Callable[[Any], Any]]
) -> Questions:
    """The prompts of a set that is to be evaluated with, in one ``family``.

    ``read`` has the columns that may hold the prompt, and how it is found in each. Raises ``DataError`` for a row that
    has none of them, or no text there.
    """
    found = Questions()
    for row in rows:
        column = next((name for name in read if name in row.values), next(iter(read)))
        check_columns(row, [column], file, published)
        value = row.values[column]
        prompt = read[column](value)
        if not isinstance(prompt, str):
            raise DataError(f"{file} line {row.line}: {column} is {shown(value)}, and no text. Expected is {published}")
        if usable(prompt, "any"):
            found.of(prompt).families = {family}
        else:
            found.leave(NO_TEXT)
    return found


def first(value: Any) -> Any:
    """The first of a list; ``None`` of anything else."""
    return value[0] if isinstance(value, list) and value else None
