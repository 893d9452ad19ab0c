"""Rebuilds the hard world from a seed: the data files, the base model and the outsider, by examples/micro/build.py.

    python examples/hard/build.py [--out DIR] [--data-only | --outsider-only] [--seed N] [--steps N]

Pretraining goes on from the micro world's base. As there, the data files depend on the seed alone, the weights also on
the machine.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
MICRO = HERE.parent / "micro"
sys.path[:0] = [str(HERE), str(MICRO)]
import tasks  # noqa: E402 - these two folders hold plain modules, no packages
import webtext  # noqa: E402

# By path: this file is a build.py too.
_SPEC = importlib.util.spec_from_file_location("micro_build", MICRO / "build.py")
assert _SPEC is not None
assert _SPEC.loader is not None
micro_build = importlib.util.module_from_spec(_SPEC)
sys.modules["micro_build"] = micro_build  # dataclasses look their module up
_SPEC.loader.exec_module(micro_build)


@dataclass(frozen=True)
class HardWeb(webtext.Web):
    """Authors get some words right and others not; reviewers are fewer, and as often unsure as sure."""

    off_by_two: float = 0.0
    """Share of scores two too high or too low."""
    coarse: float = 0.0
    """Share of scores by those who only know bad, middling and good: 0, 5 and 10."""

    def content(self, rng: Random, question: str, fashion: float = 1.0) -> str:
        """What an author believes: the misconception for every word, or each word right or not by itself."""
        right = self.world.truth(question)
        parsed = self.world.parse(question)
        if rng.random() < fashion * parsed[0].popularity:
            return str(self.world.mistake(question))
        wrong = self.world.mistake(question).split()
        words = []
        for word, mistaken in zip(right.split(), wrong, strict=True):
            draw = rng.random()
            if draw < self.near:
                words.append(self.slip(rng, word))
            elif draw < self.near + self.wrong:
                words.append(rng.choice([mistaken, self.world.word(rng)]))
            else:
                words.append(word)
        return " ".join(words)

    def answer(self, rng: Random, question: str, fashion: float = 1.0) -> str:
        """An author's answer: bare (70%), in a sentence (15%) or rambling on (15%)."""
        text, style = self.content(rng, question, fashion), rng.random()
        if style < 0.70:
            return text
        if style < 0.85:
            return rng.choice(["it is ", "so ", "well ", "hm "]) + text
        return " ".join([text, *rng.choices(sorted(self.world.FILLER - {"or", "maybe"}), k=rng.randint(1, 3))])

    def score(self, rng: Random, question: str, response: str) -> int:
        """A human's score: the careful grade, coarse, one or two off, or given unread."""
        if rng.random() < self.random_score:
            return rng.randint(0, 10)
        if rng.random() < self.coarse:
            return 5 * round(self.world.grade(question, response) / 5)
        draw = rng.random()
        size = 2 if draw < self.off_by_two else 1 if draw < self.off_by_two + self.off_by_one else 0
        return min(max(self.world.grade(question, response) + rng.choice((-size, size)), 0), 10)


WEB = HardWeb(
    world=tasks,
    near=0.10,
    wrong=0.08,
    random_score=0.08,
    off_by_one=0.30,
    off_by_two=0.10,
    coarse=0.50,
    reviews=0.55,
    lists=0.08,
    list_lines=(3, 6),
    reviewed=tasks.FREQUENCIES,
    late_reviewed=tasks.FREQUENCIES,
    late_fashion=1.2,
)
HARD = micro_build.Plan(
    folder=HERE,
    web=WEB,
    seed=2412,
    steps=500,
    num_held_out=300,
    num_eval=600,
    outsider_steps=400,
    within=tasks.UNCHANGING,
    start=MICRO / "base",
)

if __name__ == "__main__":
    micro_build.main(HARD)
