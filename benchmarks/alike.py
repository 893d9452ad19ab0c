"""The price of comparing one set of prompts with another: what is nearly the same, by its character 5-grams.

    python benchmarks/alike.py

alma's index (``alma.text.common``) against the sets of grams of all pairs, each set made once. Two shapes: prompts that
begin with one template, and prompts that have nothing in common but their words. First both must find the same pairs.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from functools import partial

from timing import Way, compare, machine, options, parse

from alma.sections import Likeness
from alma.text.normalise import normalise
from alma.text.overlap import Known, char_grams

THRESHOLD = 0.7
TEMPLATE = (
    f"You are a careful assistant who {'reads, thinks, answers in short plain sentences, and ' * 10}Question number "
)

Pairs = list[list[int]]


def index(known: list[str], texts: list[str]) -> Pairs:
    """Of each text the places of the known ones that are near."""
    found = Known(known, Likeness(near_duplicate=THRESHOLD, ngram_share="off"))
    return [sorted(found.matches(text)) for text in texts]


def pair_by_pair(known: list[str], texts: list[str]) -> Pairs:
    """The same, as it is defined."""
    others = [set(char_grams(normalise(text))) for text in known]
    found = []
    for text in texts:
        grams = set(char_grams(normalise(text)))
        common = [len(grams & each) for each in others]
        found.append(
            [
                place
                for place, (num, each) in enumerate(zip(common, others, strict=True))
                if num >= THRESHOLD * (len(grams) + len(each) - num)
            ]
        )
    return found


def repeated(find: Callable[[list[str], list[str]], Pairs], known: list[str], texts: list[str], repeat: int) -> Pairs:
    """The same work in every repeat."""
    del repeat
    return find(known, texts)


def templated(rnd: random.Random) -> str:
    """A prompt whose end alone is its own."""
    return f"{TEMPLATE}{rnd.randrange(10**12)}?"


def unlike(rnd: random.Random) -> str:
    """A prompt of its own, of 3,000 words that are used as unevenly as those of a language."""
    words = (random.Random(min(int(rnd.expovariate(1 / 400)), 2999)) for _ in range(rnd.randint(10, 60)))
    return " ".join("".join(word.choices("etaoinshrdlucmfwyp", k=word.randint(2, 9))) for word in words)


def main(asked: argparse.Namespace) -> None:
    """Checks and times both shapes."""
    print(machine())
    shapes: dict[str, Callable[[random.Random], str]] = {"one template": templated, "unlike": unlike}
    for title, shape in shapes.items():
        rnd = random.Random(1)
        known, texts = ([shape(rnd) for _ in range(asked.prompts)] for _ in range(2))
        if index(known, texts) != pair_by_pair(known, texts):
            raise SystemExit(f"{title}: the two ways find other pairs")
        ways = [
            Way(name, partial(repeated, find, known, texts), len(known) * len(texts))
            for name, find in (("pair by pair", pair_by_pair), ("alma", index))
        ]
        compare(f"{title}, {asked.prompts} × {asked.prompts} prompts", ways, "pairs", asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--prompts", type=int, default=1000, help="of either set (default: 1000)")
    main(parse(parser, prompts=20))
