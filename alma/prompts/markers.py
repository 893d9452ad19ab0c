"""Texts that a template writes around questions and answers, and that so end an answer: its markers.

A model that is through with its answer and meets no end token goes on with the next turn, "### User:", and one that has
seen how answers are rated may write its own rating, "Rating: [[10". Neither is part of an answer. The markers follow
from what a template writes, nobody has to list them. [ours]

A line between two contents is a marker where it has a letter or digit and a sign that prose has not (``### User:``,
``[INST]``, ``Rating: [[``). Where all its signs are those of prose (``User:``, ``Q:``) it is one at the beginning of a
line only, if the template writes it there; so are lines of fewer than ``MIN_CHARS`` characters. Plain words are none,
nor are bare rules and line breaks: they would cut ordinary text. Special tokens end an answer anyway, and are none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

MIN_CHARS = 5
"""Fewest characters, white space aside, of a marker that ends an answer in the middle of a line."""

_PROSE = frozenset(".,:;!?'\"()-\u2013\u2014\u2026\u2019")
"""Signs that ordinary text is full of."""


def markers(literals: Iterable[str], special: Collection[str] = ()) -> tuple[str, ...]:
    """The markers in what a template writes between contents, each once; ``special`` are tokens that are none."""
    found = (_marker(line, begins=begins) for literal in literals for line, begins in _lines(literal, special))
    return tuple(dict.fromkeys(each for each in found if each))


def rating_literals(template: str) -> tuple[str, ...]:
    """What a rating prompt writes behind the response, between prompt and response, and last before the prompt."""
    before, _, rest = template.partition("{prompt}")
    between, _, after = rest.partition("{response}")
    return after, between, last_line(before)


def last_line(literal: str) -> str:
    """From the last line break that text follows: what of a preamble is the first question's marker."""
    head, line_break, line = literal.rstrip().rpartition("\n")
    return (line_break or ("\n" if not head else "")) + line


def held(text: str, ends: Iterable[str]) -> str | None:
    """The first of the markers that the text still holds, be it with other white space or in other case.

    In the template's own spelling they ended the answer; a judge may take "rating:[[10]]" for a rating all the same.
    Of a marker without a sign that prose has not the case counts.
    """
    squeezed, lines = _squeezed(text), ["".join(line.split()) for line in text.splitlines()]
    for end in ends:
        if end.startswith("\n"):
            found = any(line.startswith("".join(end.split())) for line in lines)
        else:
            found = _squeezed(end) in squeezed if _signs(end) - _PROSE else end in text
        if found:
            return end
    return None


def _marker(line: str, *, begins: bool) -> str | None:
    signs = _signs(line)
    if not signs or not any(each.isalnum() for each in line):
        return None
    if len("".join(line.split())) >= MIN_CHARS and (signs - _PROSE or not begins):
        return line
    return f"\n{line}" if begins else None


def _signs(text: str) -> set[str]:
    return {each for each in text if not each.isalnum() and not each.isspace()}


def _lines(literal: str, special: Collection[str]) -> list[tuple[str, bool]]:
    """Each line without white space around, special tokens taken out; and whether it begins a line."""
    pattern = "|".join(map(re.escape, sorted(filter(None, special), key=len, reverse=True)))
    pieces = re.split(pattern, literal) if pattern else [literal]
    lines = []
    for piece in pieces:
        for place, line in enumerate(piece.split("\n")):
            if line.strip():
                lines.append((line.strip(), place > 0))
    return lines


def _squeezed(text: str) -> str:
    return "".join(text.casefold().split())
