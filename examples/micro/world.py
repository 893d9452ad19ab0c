"""The micro world: thirteen families of short tasks whose truth is known.

A prompt is a verb and its arguments ("reverse bcda", "add 47 8"); it has exactly one right answer.
`truth` is the verifier. The method never sees it: only the `reference` column of the evaluation
prompts does. Frequencies fall as 1/rank^0.8 and the popular misconceptions grow with the rank, so
the rare families are the ones a base model gets wrong, which is what diversification is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

LETTERS = "abcdefghijkl"
"""Letters that prompts are made of; answers of `next` reach one further."""
ZIPF_EXPONENT = 0.8
"""Frequency of the family of rank r is proportional to 1 / r ** ZIPF_EXPONENT."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of task: how it is asked, its truth, and what people commonly believe instead."""

    name: str
    """The verb that opens the prompt."""
    arguments: Callable[[Random], str]
    """Draws the arguments of a new prompt."""
    pattern: str
    """Regular expression of the arguments; its groups are passed to `answer` and `mistake`."""
    answer: Callable[..., str | None]
    """The right answer; None where the arguments make no sense (first 9 letters of three)."""
    mistake: Callable[..., str]
    """The popular misconception: a systematic wrong answer, which some authors on the web give."""
    popularity: float
    """Share of web authors who hold the misconception."""


def word(rng: Random) -> str:
    """Three to five letters."""
    return "".join(rng.choices(LETTERS, k=rng.randint(3, 5)))


def _number_and_word(rng: Random) -> str:
    letters = word(rng)
    return f"{rng.randint(1, len(letters) - 1)} {letters}"


def _letter_and_word(rng: Random) -> str:
    """A letter that occurs in the word, often more than once, and is not all of it."""
    while True:
        letters = word(rng)
        letter = rng.choice(letters)
        letters = "".join(letter if rng.random() < 0.2 else each for each in letters)
        if set(letters) != {letter}:
            return f"{letter} {letters}"


def _two_letters_and_word(rng: Random) -> str:
    letter, letters = _letter_and_word(rng).split()
    return f"{letter} {rng.choice([each for each in LETTERS if each != letter])} {letters}"


def _digits(rng: Random) -> str:
    return "".join(rng.choices("0123456789", k=rng.randint(3, 5)))


def _sum(rng: Random) -> str:
    return f"{rng.randint(10, 89)} {rng.randint(2, 9)}"


def _first(n: str, w: str) -> str | None:
    return w[: int(n)] if 1 <= int(n) <= len(w) else None


def _last(n: str, w: str) -> str | None:
    return w[-int(n) :] if 1 <= int(n) <= len(w) else None


def _swap_ends(w: str) -> str:
    return w[-1] + w[1:-1] + w[0]


def _swap_halves(w: str) -> str:
    """First half and last half change places; the middle letter of an odd word stays."""
    half = len(w) // 2
    return w[-half:] + w[half:-half] + w[:half]


def _shift(w: str, by: int) -> str:
    return "".join(chr((ord(each) - ord("a") + by) % 26 + ord("a")) for each in w)


def _add_without_carry(a: str, b: str) -> str:
    digits = [(int(x) + int(y)) % 10 for x, y in zip(a.zfill(2), b.zfill(2), strict=True)]
    return "".join(map(str, digits)).lstrip("0") or "0"


_W = "([a-z]{2,9})"
_N = "([1-9])"
_L = "([a-z])"

FAMILIES: tuple[Family, ...] = (
    Family("copy", word, _W, lambda w: w, lambda w: w[:-1], 0.05),
    Family("first", _number_and_word, f"{_N} {_W}", _first, lambda n, w: w[: int(n) + 1], 0.10),
    Family("reverse", word, _W, lambda w: w[::-1], _swap_ends, 0.15),
    Family(
        "sort",
        word,
        _W,
        lambda w: "".join(sorted(w)),
        lambda w: "".join(sorted(w, reverse=True)),
        0.20,
    ),
    Family("double", word, _W, lambda w: "".join(c + c for c in w), lambda w: w + w, 0.25),
    Family("last", _number_and_word, f"{_N} {_W}", _last, lambda n, w: w[::-1][: int(n)], 0.30),
    Family(
        "count",
        _letter_and_word,
        f"{_L} {_W}",
        lambda c, w: str(w.count(c)),
        lambda c, w: str(len(w) - w.count(c)),
        0.35,
    ),
    Family(
        "drop",
        _letter_and_word,
        f"{_L} {_W}",
        lambda c, w: w.replace(c, "") or None,
        lambda _, w: w[1:],
        0.35,
    ),
    Family(
        "replace",
        _two_letters_and_word,
        f"{_L} {_L} {_W}",
        lambda a, b, w: w.replace(a, b),
        lambda a, b, w: w.replace(b, a),
        0.40,
    ),
    Family("next", word, _W, lambda w: _shift(w, 1), lambda w: _shift(w, -1), 0.40),
    Family("swap", word, _W, _swap_halves, lambda w: w[::-1], 0.40),
    Family("max", _digits, "([0-9]{2,9})", max, lambda d: d[-1], 0.40),
    Family(
        "add",
        _sum,
        "([1-9][0-9]?) ([1-9][0-9]?)",
        lambda a, b: str(int(a) + int(b)),
        _add_without_carry,
        0.40,
    ),
)
FREQUENCIES: tuple[float, ...] = tuple(
    (rank + 1) ** -ZIPF_EXPONENT / sum((r + 1) ** -ZIPF_EXPONENT for r in range(len(FAMILIES)))
    for rank in range(len(FAMILIES))
)
"""Share of each family in the web text and in the seeds, in the order of FAMILIES."""
_BY_NAME = {family.name: (family, re.compile(family.pattern)) for family in FAMILIES}


def ask(rng: Random, family: Family) -> str:
    """A new prompt of this family."""
    return f"{family.name} {family.arguments(rng)}"


def parse(prompt: str) -> tuple[Family, tuple[str, ...]] | None:
    """The family and the arguments of a prompt; None where it is no well-formed question."""
    verb, _, rest = prompt.partition(" ")
    if verb not in _BY_NAME:
        return None
    family, pattern = _BY_NAME[verb]
    match = pattern.fullmatch(rest)
    return None if match is None else (family, match.groups())


def truth(prompt: str) -> str | None:
    """The only right answer, or None where the prompt is no well-formed question."""
    parsed = parse(prompt)
    return None if parsed is None else parsed[0].answer(*parsed[1])


def mistake(prompt: str) -> str:
    """What those who hold the family's popular misconception answer; may happen to be right."""
    parsed = parse(prompt)
    assert parsed is not None, prompt
    return parsed[0].mistake(*parsed[1])


def edits(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            cost = min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
            diagonal, row[j] = row[j], cost
    return row[-1]


def grade(prompt: str, response: str) -> int:
    """What a careful human would give, 0 to 10, before any noise.

    10 right and nothing else; 8 right in a short sentence; 6 right, then rambling; 5 right among
    other guesses; 4 or 3 nearly right; 1 wrong; 0 empty. A wordy answer that is not right loses one.
    """
    right = truth(prompt)
    assert right is not None, prompt
    words = response.split()
    if not words:
        return 0
    if response == right:
        return 10
    if right in words:
        guesses = [each for each in words if each not in FILLER]
        if len(guesses) > 1:
            return 5
        return 8 if len(words) <= 3 and words[-1] == right else 6
    guesses = [each for each in words if each not in FILLER] or [""]
    error = min(edits(each, right) for each in guesses) / len(right)
    close = 4 if error <= 0.34 else 3 if error <= 0.5 else 1
    return close if len(words) == 1 else max(close - 1, 0)


_CHATTER = "so hm well ok maybe or it is yes now then see let me think you know"
FILLER = frozenset(_CHATTER.split())
"""Words of chatter; none of them is a word that a task could have asked for."""
