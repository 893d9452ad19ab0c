"""The web of the micro world: what the base model reads before anybody aligns it.

Dialogues whose authors answer right, nearly right, by a popular misconception or at random, clean
or rambling; lists of prompts; and reviewed answers with a score from 0 to 10 that follows the truth
with noise. Reviews are most of the text: judging must be a skill the base has latently, since a bad
judge destroys the model. No text says which answers are right except through those noisy scores.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import world

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
USER, ASSISTANT = "<user>", "<assistant>"
LIST, REVIEW, RATING, END_RATING = "<list>", "<review>", "<rating>", "</rating>"
MARKERS = (PAD, BOS, EOS, USER, ASSISTANT, LIST, REVIEW, RATING, END_RATING)


@dataclass(frozen=True)
class Web:
    """What authors, reviewers and list makers write about a world of tasks. The defaults are the micro world's."""

    world: Any
    """What there is to ask: a module with the names of `world.py` (FAMILIES, FREQUENCIES, ask, parse, truth, …)."""
    near: float = 0.18
    """Share of authors who slip by one character."""
    wrong: float = 0.10
    """And who answer anything; the rest of those without the misconception are right."""
    random_score: float = 0.03
    """Share of scores given without looking."""
    off_by_one: float = 0.12
    """Share of scores one too high or too low."""
    reviews: float = 0.72
    """Share of reviews among the documents; by tokens they are about 60%."""
    lists: float = 0.06
    """Share of prompt lists; the rest are dialogues."""
    list_lines: tuple[int, int] = (4, 8)
    """Fewest and most prompts of a list."""
    reviewed: Sequence[float] = (1.0,) * len(world.FAMILIES)
    """How often reviewers look at each family: at first at all alike."""
    late_reviewed: Sequence[float] = tuple({"count": 2.0, "add": 3.0}.get(each.name, 1.0) for each in world.FAMILIES)
    """In the late web, the last part of the pretraining, more often at the two families that are hardest to check."""
    late_fashion: float = 1.4
    """And misconceptions are this much more popular there."""
    last_turn: float = 0.5
    """Chance that a dialogue ends after a turn: only then does the text show an end of sequence."""

    def prompt(self, rng: Random, banned: Collection[str] = (), weights: Sequence[float] | None = None) -> str:
        """A prompt, its family drawn by weight (as on the web); never one of the banned (evaluation) prompts."""
        while True:
            family = rng.choices(self.world.FAMILIES, weights or self.world.FREQUENCIES)[0]
            text: str = self.world.ask(rng, family)
            if text not in banned:
                return text

    def slip(self, rng: Random, text: str) -> str:
        """One character changed, dropped, doubled or exchanged with its neighbour."""
        kind, at = rng.randrange(4), rng.randrange(len(text))
        pool = "0123456789" if text[at].isdigit() else self.world.LETTERS
        if kind == 0 and len(text) > 1:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[:at] + text[at] + text[at:]
        if kind == 2 and at + 1 < len(text):
            return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return text[:at] + rng.choice(pool) + text[at + 1 :]

    def content(self, rng: Random, question: str, fashion: float = 1.0) -> str:
        """What an author believes the answer to be; `fashion` multiplies the misconceptions."""
        right = self.world.truth(question)
        parsed = self.world.parse(question)
        assert right is not None, question
        assert parsed is not None, question
        draw, mistaken = rng.random(), fashion * parsed[0].popularity
        if draw < mistaken:
            return self.world.mistake(question) or right
        if draw < mistaken + self.near:
            return self.slip(rng, right) if right else self.world.word(rng)
        if draw < mistaken + self.near + self.wrong:
            return rng.choice([question.rsplit(maxsplit=1)[-1], self.world.word(rng), str(rng.randint(0, 99))])
        return str(right)

    def answer(self, rng: Random, question: str, fashion: float = 1.0) -> str:
        """An author's answer: the content, bare (64%), in a sentence (12%) or rambling (24%)."""
        text, style = self.content(rng, question, fashion), rng.random()
        if style < 0.64:
            return text
        if style < 0.76:
            return rng.choice(["it is ", "so ", "well ", "hm "]) + text
        if style < 0.88:
            tail = rng.choices(sorted(self.world.FILLER - {"or", "maybe"}), k=rng.randint(1, 3))
            return " ".join([text, *tail])
        return f"{text} {rng.choice(['or', 'or maybe'])} {self.content(rng, question, fashion)}"

    def score(self, rng: Random, question: str, response: str) -> int:
        """A human's score: the careful grade, mostly; sometimes one off; rarely given unread."""
        if rng.random() < self.random_score:
            return rng.randint(0, 10)
        step = rng.choice((-1, 1)) if rng.random() < self.off_by_one else 0
        return min(max(self.world.grade(question, response) + step, 0), 10)

    def dialogue(self, rng: Random, banned: Collection[str], fashion: float = 1.0) -> str:
        """One or more turns; an answer is followed by the next question as often as by an end."""
        turns = ""
        while True:
            question = self.prompt(rng, banned)
            turns += USER + question + ASSISTANT + self.answer(rng, question, fashion)
            if rng.random() < self.last_turn or len(turns) > 90:
                return BOS + turns + EOS

    def prompt_list(self, rng: Random, banned: Collection[str]) -> str:
        """Some prompts, one a line."""
        lines = [self.prompt(rng, banned) + "\n" for _ in range(rng.randint(*self.list_lines))]
        return BOS + LIST + "".join(lines) + EOS

    def review(self, rng: Random, banned: Collection[str], *, late: bool = False) -> str:
        """A prompt, somebody's answer, and a score."""
        question = self.prompt(rng, banned, self.late_reviewed if late else self.reviewed)
        response = self.answer(rng, question, self.late_fashion if late else 1.0)
        rating = self.score(rng, question, response)
        return f"{BOS}{REVIEW}{question}{ASSISTANT}{response}{RATING}{rating}{END_RATING}{EOS}"

    def document(self, rng: Random, banned: Collection[str], *, late: bool = False) -> str:
        """One page of the early or of the late web."""
        draw = rng.random()
        if draw < self.reviews:
            return self.review(rng, banned, late=late)
        if draw < self.reviews + self.lists:
            return self.prompt_list(rng, banned)
        return self.dialogue(rng, banned, self.late_fashion if late else 1.0)


WEB = Web(world)
"""The micro world's."""
