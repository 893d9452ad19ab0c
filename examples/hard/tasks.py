"""The hard world: a task of the micro world over several words, in twenty families, with credit for every word.

"reverse abc de fgh" has the one right answer "cba ed hgf". Thirteen families are the micro world's, seven are
new. Has the names of examples/micro/world.py, so that the same `Web` and the same `build.py` serve both.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "micro"))
import world

sys.path.pop(0)

LETTERS, FILLER = world.LETTERS, world.FILLER
MIN_ITEMS, MAX_ITEMS = 2, 3
"""Words (or numbers) that one question puts to its task."""
UNCHANGING = frozenset({"copy", "first", "last", "drop", "max", "tail", "min", "unique", "ends", "odd"})
"""Families whose answer is by nature a piece of the question."""


def word(rng: Random) -> str:
    """Two to four letters."""
    return "".join(rng.choices(LETTERS, k=rng.randint(2, 4)))


def digits(rng: Random) -> str:
    """Two to four digits."""
    return "".join(rng.choices("0123456789", k=rng.randint(2, 4)))


def _previous(w: str) -> str:
    return "".join(chr((ord(each) - ord("a") - 1) % 26 + ord("a")) for each in w)


def _unique(w: str) -> str:
    return "".join(dict.fromkeys(w))


_W, _D = world.FAMILIES[0].pattern, "([0-9]{2,9})"
NEW: tuple[world.Family, ...] = (
    world.Family("tail", word, _W, lambda w: w[1:], lambda w: w[:-1], 0.15),
    world.Family("ends", word, _W, lambda w: w[0] + w[-1], lambda w: w[:2], 0.25),
    world.Family("rotate", word, _W, lambda w: w[1:] + w[0], lambda w: w[-1] + w[:-1], 0.35),
    world.Family("odd", word, _W, lambda w: w[::2], lambda w: w[1::2], 0.40),
    world.Family("min", digits, _D, min, lambda d: d[0], 0.40),
    world.Family("prev", word, _W, _previous, lambda w: _previous(w[:1]) + w[1:], 0.45),
    world.Family("unique", word, _W, _unique, lambda w: "".join(sorted(set(w))), 0.45),
)
FAMILIES: tuple[world.Family, ...] = tuple(
    replace(each, arguments=word) if each.arguments is world.word else each
    for each in sorted([*world.FAMILIES, *NEW], key=lambda family: family.popularity)
)
"""From the most frequent to the rarest, which are again those with the most popular misconceptions."""
FREQUENCIES: tuple[float, ...] = tuple(
    (rank + 1) ** -world.ZIPF_EXPONENT / sum((r + 1) ** -world.ZIPF_EXPONENT for r in range(len(FAMILIES)))
    for rank in range(len(FAMILIES))
)
_BY_NAME = {each.name: (each, re.compile(each.pattern)) for each in FAMILIES}
_SHARED = {each.name: each.pattern.count("(") - 1 for each in FAMILIES}
"""Arguments before the words: the number of `first`, the two letters of `replace`."""


def ask(rng: Random, family: world.Family) -> str:
    """A new prompt of this family: its arguments, then two or three words, each with an answer, not all their own."""
    *shared, _ = family.arguments(rng).split()
    wanted = rng.randint(MIN_ITEMS, MAX_ITEMS)
    items: list[str] = []
    answers: list[str] = []
    while len(items) < wanted or (items == answers and family.name not in UNCHANGING):
        item = _item(rng, family, shared)
        if answer := _answer(family, (*shared, item)):
            items, answers = [*items, item][-wanted:], [*answers, answer][-wanted:]
    return " ".join([family.name, *shared, *items])


def _item(rng: Random, family: world.Family, shared: list[str]) -> str:
    """A word or a number; where the task is about a letter, that letter is often in it."""
    if family.name == "add":
        return str(rng.randint(2, 99))
    if family.name in ("max", "min"):
        return digits(rng)
    letters = word(rng)
    if family.name in ("count", "drop", "replace"):
        letters = "".join(shared[0] if rng.random() < 0.3 else each for each in letters)
    return letters


def _answer(family: world.Family, groups: tuple[str, ...]) -> str | None:
    """The answer for one word; `None` where the word does not fit the task."""
    match = _BY_NAME[family.name][1].fullmatch(" ".join(groups))
    return None if match is None else family.answer(*match.groups())


def parse(prompt: str) -> tuple[world.Family, tuple[tuple[str, ...], ...]] | None:
    """The family, and the arguments for each word; `None` where the prompt is no well-formed question."""
    name, *words = prompt.split(" ")
    if name not in _BY_NAME:
        return None
    family, number = _BY_NAME[name][0], _SHARED[name]
    shared, items = words[:number], words[number:]
    groups = tuple((*shared, item) for item in items)
    if not MIN_ITEMS <= len(items) <= MAX_ITEMS or not all(_answer(family, each) for each in groups):
        return None
    return family, groups


def truth(prompt: str) -> str | None:
    """The only right answer, the words' answers in their order; `None` where the prompt is no question."""
    parsed = parse(prompt)
    return None if parsed is None else " ".join(str(_answer(parsed[0], each)) for each in parsed[1])


def mistake(prompt: str) -> str:
    """What those who hold the misconception answer, for every word; a word where that gives nothing is repeated."""
    parsed = parse(prompt)
    assert parsed is not None, prompt
    return " ".join(parsed[0].mistake(*each) or each[-1] for each in parsed[1])


def grade(prompt: str, response: str) -> int:
    """What a careful human would give, 0 to 10: ten times the fraction of words that are right, in their places.

    Chatter around the words costs two; a word too many or too few is a wrong one.
    """
    right = truth(prompt)
    assert right is not None, prompt
    wanted, words = right.split(), response.split()
    given = [each for each in words if each not in FILLER or each in wanted]  # "hm" is what `next` makes of "gl"
    same = sum(a == b for a, b in zip(wanted, given, strict=False))
    credit = round(10 * same / max(len(wanted), len(given)))
    return max(credit - (2 if len(given) < len(words) else 0), 0)
