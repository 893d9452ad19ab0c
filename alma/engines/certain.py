"""What of an answer is certain while it is still being generated, so that nothing that was shown is taken back.

The end of a text so far may still become something that is none of the answer: the first half of a marker, white space
before it, what a template writes behind answers. A character of several tokens may not be whole yet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from alma.engines.continuation import answer_of, answer_text, continuations
from alma.engines.requests import Completion
from alma.prompts import Prompt

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""A token of one byte; several of them are decoded together, and all of them fail where one does."""

_BROKEN = "\ufffd"
"""What stands for bytes that are no character, or not yet."""


class Certain:
    """The answer to ``prompt`` as far as it is certain. ``special`` and ``stop`` are the texts that end it.

    The whole answer begins with everything that ``of`` gives of its beginnings.
    """

    def __init__(self, tokenizer: Any, prompt: str, before: int, special: Collection[str], stop: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.before = before
        """The prompt's last token."""

        self.prompt = prompt
        self.special = special
        self.stop = stop
        self.openings = prompt.openings if isinstance(prompt, Prompt) else ()
        self.endings = prompt.endings if isinstance(prompt, Prompt) else ()

    def whole(self, completion: Completion) -> Completion:
        """The answer, of all that was generated, as ``respond`` writes it down."""
        answer = answer_of(completion, self.prompt, self.special)
        return replace(answer, text=answer_text(answer, self.stop))

    def of(self, ids: Sequence[int]) -> tuple[Completion, bool]:
        """The answer up to these tokens, none of which ended it, and whether it is over all the same.

        It is where they spell a special token, behind which nothing is an answer. ``num_tokens`` are all of them.
        """
        said = self._text(ids)
        if any(each in said for each in self.special):
            return self.whole(Completion(said, len(ids), ended=False)), True
        return self._so_far(said, len(ids)), False

    def _so_far(self, said: str, num_tokens: int) -> Completion:
        if any(len(each) > len(said) and each.startswith(said) for each in self.openings):
            return Completion("", num_tokens, ended=False)
        text = answer_of(Completion(said, num_tokens, ended=False), self.prompt, self.special).text
        text = text[: len(text) - _overhang(text, [*self.special, *self.stop], whole=False)]
        text = text[: len(text) - _overhang(text, self.endings, whole=True)]
        return Completion(text.rstrip(), num_tokens, ended=False)

    def _text(self, ids: Sequence[int]) -> str:
        names = self.tokenizer.convert_ids_to_tokens(list(ids))
        num_whole = len(ids)
        while num_whole and isinstance(names[num_whole - 1], str) and _BYTE.fullmatch(names[num_whole - 1]):
            num_whole -= 1
        [text] = continuations(self.tokenizer, [self.before], [list(ids[:num_whole])])
        return text.rstrip(_BROKEN)


def _overhang(text: str, ends: Collection[str], *, whole: bool) -> int:
    """Characters at the end of ``text`` with which one of ``ends`` begins; with ``whole``, or which are all of it."""
    longest = max(map(len, ends), default=0) - (not whole)
    sizes = range(min(longest, len(text)), 0, -1)
    return next((size for size in sizes if any(_begins(each, text[-size:], whole=whole) for each in ends)), 0)


def _begins(end: str, text: str, *, whole: bool) -> bool:
    return end.startswith(text) and (whole or len(end) > len(text))
