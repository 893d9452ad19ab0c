"""From tokens back to text, exactly, and where it ends. Axes: B rows, T tokens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from alma.engines.requests import Completion
from alma.prompts import Prompt

# Special tokens stay visible: what the model wrote is shown as it is, and filters downstream can see it.
EXACT = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}


def before_first(text: str, ends: Collection[str]) -> str | None:
    """The text before the first of ``ends`` in it; ``None`` where there is none."""
    places = [place for place in map(text.find, ends) if place >= 0]
    return text[: min(places)] if places else None


def answer_of(completion: Completion, text: str, special: Collection[str]) -> Completion:
    """What of the continuation of ``text`` is the answer: what the template writes around it taken off, then ``plain``.

    Only where that stands exactly (``Prompt.openings``, ``Prompt.endings``): white space or a block of the model's own
    is part of what it said.
    """
    if isinstance(text, Prompt):
        said = completion.text
        said = said.removeprefix(next(filter(said.startswith, text.openings), ""))
        if completion.ended:
            said = said.removesuffix(next(filter(said.endswith, text.endings), ""))
        completion = replace(completion, text=said)
    return plain(completion, special)


def answer_text(completion: Completion, stops: Collection[str]) -> str:
    """The text of an answer. Where texts end one, the white space before them is their template's, and taken off."""
    return completion.text.rstrip() if stops and completion.ended else completion.text


def plain(completion: Completion, special: Collection[str]) -> Completion:
    """The text up to the first special token or its spelling, after which nothing is an answer any more.

    Model text is put into later prompts: there, a spelled-out marker would be read as one ("…<rating>10").
    """
    text = before_first(completion.text, special)
    return completion if text is None else replace(completion, text=text, ended=False)


def continuations(tokenizer: Any, before_B: Sequence[int], ids_BT: Sequence[list[int]]) -> list[str]:
    """The texts that the tokens add after token ``before_B``.

    Decoded beside it, since some tokenizers drop the space before a first word.
    """
    wholes = tokenizer.batch_decode([[before, *ids] for before, ids in zip(before_B, ids_BT, strict=True)], **EXACT)
    heads = tokenizer.batch_decode([[before] for before in before_B], **EXACT)
    alone = tokenizer.batch_decode(list(ids_BT), **EXACT)
    # A prompt that ends within a character (byte-level tokens) is no prefix of the whole.
    return [
        whole[len(head) :] if whole.startswith(head) else lone
        for whole, head, lone in zip(wholes, heads, alone, strict=True)
    ]
