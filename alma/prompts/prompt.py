"""A text for a model that knows which parts of it were written by others: ``Prompt``.

A person may write ``</s>`` as HTML and a model may spell ``<|im_end|>``. In what is quoted such a spelling is text; in
what surrounds it, a template's own words, it is the special token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

Span = tuple[int, int]
"""Characters from the first up to, and without, the second."""


SPACES = " \t\u00a0"
"""White space that a tokenizer may join to the word behind it."""


class Prompt(str):
    """A text with what in it is ``quoted``, and what its template writes around the answer.

    A plain ``str`` quotes nothing. Operations of ``str`` give a plain one again; put parts together with ``joined``.
    """

    __slots__ = ("endings", "openings", "quoted")

    quoted: tuple[Span, ...]
    """Where a person's or a model's text stands, in order."""

    openings: tuple[str, ...]
    """What an answer may begin with that is none of it: the first of these that it does begin with is taken off."""

    endings: tuple[str, ...]
    """What an answer that ended by itself may end with that is none of it, in the same way."""

    def __new__(
        cls,
        text: str = "",
        quoted: Iterable[Span] = (),
        openings: Iterable[str] = (),
        endings: Iterable[str] = (),
    ) -> Self:
        """``text`` with these properties."""
        self = super().__new__(cls, text)
        self.quoted, self.openings, self.endings = tuple(quoted), tuple(openings), tuple(endings)
        return self

    def without_spaces_behind(self) -> Prompt:
        """Less the spaces at its end: what a model goes on with then begins with one, as it does in running text.

        To most tokenizers of byte pairs a space is the beginning of the next word, so that one that stands alone, at
        the end of a prompt, is a token that the model never saw before a word. Line breaks stay: tokenizers join them
        to what stands before them, if to anything, and they may be what ends a text.
        """
        text = self.rstrip(SPACES)
        kept = [(start, min(end, len(text))) for start, end in self.quoted if start < len(text)]
        return Prompt(text, kept, self.openings, self.endings)


def quote(text: str) -> Prompt:
    """``text`` as one quotation."""
    return Prompt(text, [(0, len(text))] if text else [])


def joined(parts: Iterable[str]) -> Prompt:
    """The parts one after the other, each with what it quotes."""
    texts, quoted, start = [], list[Span](), 0
    for part in parts:
        quoted += [(start + first, start + last) for first, last in quoted_in(part)]
        texts.append(str(part))
        start += len(part)
    return Prompt("".join(texts), quoted)


def filled(template: str, field: str, content: str) -> Prompt:
    """``template`` with ``content``, quoted, wherever it says ``field``."""
    before, *others = template.split(field)
    return joined([before, *(part for after in others for part in (quote(content), after))])


def quoted_in(text: str) -> tuple[Span, ...]:
    """What a text quotes: nothing, where it is a plain ``str``."""
    return text.quoted if isinstance(text, Prompt) else ()
