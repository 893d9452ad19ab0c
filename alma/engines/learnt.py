"""Which tokens of a conversation are learnt: its last answer, or every answer of the assistant's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from alma.engines.chat import Exchange, Turn, render_turns
from alma.engines.dialogue import asking
from alma.errors import DataError

Span = tuple[int, int]
"""Tokens from the first up to, and without, the second."""


class Learnt(NamedTuple):
    """A conversation's tokens up to its last end token, and where the answers to learn stand, end tokens included."""

    ids: list[int]
    spans: list[Span]


def last_answers(tokenizer: Any, exchanges: Sequence[Exchange], stops: Collection[int]) -> list[Learnt | None]:
    """Of each conversation its last answer is learnt; ``stops`` and ``None`` as of ``render_turns``."""
    turns = render_turns(tokenizer, exchanges, stops)
    return [None if turn is None else Learnt(_ids(turn), [_span(turn)]) for turn in turns]


def all_answers(tokenizer: Any, exchanges: Sequence[Exchange], stops: Collection[int]) -> list[Learnt | None]:
    """Of each conversation all answers are learnt, each behind what generation would be asked with there.

    Raises ``DataError`` for a template that writes earlier turns otherwise than they were written when they were last:
    a model would learn what it never reads or writes.
    """
    return [_all(tokenizer, each, stops) for each in exchanges]


def _all(tokenizer: Any, exchange: Exchange, stops: Collection[int]) -> Learnt | None:
    *parts, whole = [*_parts(exchange), exchange]
    *turns, last = render_turns(tokenizer, [*parts, whole], stops)
    if last is None:
        return None
    ids, text = _ids(last), asking(tokenizer, whole.prompt, whole.earlier)
    spans = []
    for part, turn in zip(parts, turns, strict=True):
        asked = asking(tokenizer, part.prompt, part.earlier)
        if not text.startswith(asked):
            raise DataError(_refusal(tokenizer, f"{str(text)!r} does not begin with {str(asked)!r}"))
        if turn is None or ids[: len(turn.prompt_ids)] != turn.prompt_ids:
            return None
        start, stop = _span(turn)
        if ids[start:stop] != turn.completion_ids:
            found, wanted = (tokenizer.decode(each) for each in (ids[start:stop], turn.completion_ids))
            raise DataError(_refusal(tokenizer, f"{found!r} is {wanted!r} where it is the last answer"))
        spans.append((start, stop))
    return Learnt(ids, [*spans, _span(last)])


def _parts(exchange: Exchange) -> Iterator[Exchange]:
    """The conversation up to each of its earlier answers."""
    for place, turn in enumerate(exchange.earlier):
        if turn.role == "assistant":
            yield Exchange(exchange.earlier[place - 1].content, turn.content, exchange.earlier[: place - 1])


def _ids(turn: Turn) -> list[int]:
    return turn.prompt_ids + turn.completion_ids


def _span(turn: Turn) -> Span:
    return len(turn.prompt_ids), len(turn.prompt_ids) + len(turn.completion_ids)


def _refusal(tokenizer: Any, found: str) -> str:
    return (
        f"the chat template of {tokenizer.name_or_path} writes an earlier answer otherwise than the last one: {found}; "
        'set loss_on = "last"'
    )
