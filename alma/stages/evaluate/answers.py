"""What a model answers evaluation prompts with, greedily, and what it answers before them in their conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from alma.engines import TOO_LONG, Completion, GenerateRequest, Generator, ask
from alma.engines.continuation import answer_text
from alma.prompts.conversation import Message, exchanges
from alma.sections import Evaluate
from alma.text.shots import Shot
from alma.text.turns import answer_prompt, cut, markers


class Asked(NamedTuple):
    """A prompt behind the turns of its conversation, and the examples that are shown first."""

    prompt: str
    earlier: tuple[Message, ...] = ()
    shots: tuple[Shot, ...] = ()


Ask = Callable[[Sequence[Asked]], Sequence[Completion]]
"""A model's greedy answers."""


def answer(cfg: Evaluate, generator: Generator, asked_P: Sequence[Asked]) -> list[Completion]:
    """Greedy answers, cut at the first marker: to the chat template's prompt, examples being earlier turns behind the
    system's, or to bare turns after the examples."""
    seeds_PN, limit, stops = [[0]] * len(asked_P), cfg.max_new_tokens, generator.stops(cfg.template)
    pairs_PK = [[(shot.question, shot.answer) for shot in each.shots] for each in asked_P]
    if cfg.shots == "none" or cfg.form == "chat":
        texts = []
        for each, pairs in zip(asked_P, pairs_PK, strict=True):
            system = tuple(turn for turn in each.earlier if turn.role == "system")
            texts.append(generator.chat(each.prompt, (*system, *exchanges(pairs), *each.earlier[len(system) :])))
        answers = ask(generator, GenerateRequest(texts, seeds_PN, None, limit, stops))
        return [replace(each, text=answer_text(each, stops)) for (each,) in answers]
    assert not any(each.earlier for each in asked_P), "refused: bare turns know no conversation"
    texts = [answer_prompt(cfg.turns, pairs, each.prompt) for each, pairs in zip(asked_P, pairs_PK, strict=True)]
    answers = ask(generator, GenerateRequest(texts, seeds_PN, None, limit, [*markers(cfg.turns), *stops]))
    return [replace(several[0], text=cut(cfg.turns, several[0].text)) for several in answers]


def converse(asked_P: Sequence[Asked], answer_all: Ask) -> tuple[list[tuple[Completion, tuple[Message, ...]]], int]:
    """The answer to each prompt with the turns before it, and how many tokens the model wrote in all.

    Where two turns of the user's follow one another it answers the first one itself, and is then asked the second;
    what is equal is asked once. Nobody is asked on behind a turn that was too long to be answered.
    """
    now_P, known = list(asked_P), dict[Asked, Completion]()
    while new := list(dict.fromkeys(each for each in map(_first_question, now_P) if each not in known)):
        known |= dict(zip(new, answer_all(new), strict=True))
        now_P = [_gone_on(each, known) for each in now_P]
    found = [
        (known[now], each.earlier if known[now] == TOO_LONG else now.earlier)
        for each, now in zip(asked_P, now_P, strict=True)
    ]
    return found, sum(each.num_tokens for each in known.values())


def _first_question(asked: Asked) -> Asked:
    """The first turn of the user's that is not answered: the prompt, where all before it are."""
    turns = (*asked.earlier, Message("user", asked.prompt))
    for place, (one, two) in enumerate(pairwise(turns)):
        if one.role == "user" == two.role:
            return asked._replace(prompt=one.content, earlier=asked.earlier[:place])
    return asked


def _gone_on(asked: Asked, known: dict[Asked, Completion]) -> Asked:
    """With the answer to its first question; that question itself where it was too long."""
    first = _first_question(asked)
    if first == asked:
        return asked
    if known[first] == TOO_LONG:
        return first
    said = (*first.earlier, Message("user", first.prompt), Message("assistant", known[first].text))
    return asked._replace(earlier=(*said, *asked.earlier[len(first.earlier) + 1 :]))
