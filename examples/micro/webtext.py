"""The web of the micro world: what the base model reads before anybody aligns it.

Dialogues whose authors answer right, nearly right, by a popular misconception or at random, clean
or rambling; lists of prompts; and reviewed answers with a score from 0 to 10 that follows the truth
with noise. Reviews are most of the text: judging must be a skill the base has latently, since a bad
judge destroys the model. No text says which answers are right except through those noisy scores.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import world

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
USER, ASSISTANT = "<user>", "<assistant>"
LIST, REVIEW, RATING, END_RATING = "<list>", "<review>", "<rating>", "</rating>"
MARKERS = (PAD, BOS, EOS, USER, ASSISTANT, LIST, REVIEW, RATING, END_RATING)

NEAR, WRONG = 0.18, 0.10
"""Shares of authors who slip by one character, and who answer anything; the rest of those without
the misconception are right."""
RANDOM_SCORE, OFF_BY_ONE = 0.03, 0.12
"""Shares of scores given without looking, and of scores one too high or too low."""
REVIEWS, LISTS = 0.72, 0.06
"""Shares of documents; the rest are dialogues. By tokens reviews are about 60%."""
LATE_FASHION = 1.4
"""In the late web, the last part of the pretraining, misconceptions are this much more popular."""
LATE_REVIEWED = [{"count": 2.0, "add": 3.0}.get(each.name, 1.0) for each in world.FAMILIES]
"""And reviewers look more often at the two families that are hardest to check."""
LAST_TURN = 0.5
"""Chance that a dialogue ends after a turn: only then does the text show an end of sequence."""


def prompt(rng: Random, banned: Collection[str] = (), weights: Sequence[float] = world.FREQUENCIES) -> str:
    """A prompt, its family drawn by weight; never one of the banned (evaluation) prompts."""
    while True:
        family = rng.choices(world.FAMILIES, weights)[0]
        text = world.ask(rng, family)
        if text not in banned:
            return text


def slip(rng: Random, text: str) -> str:
    """One character changed, dropped, doubled or exchanged with its neighbour."""
    kind, at = rng.randrange(4), rng.randrange(len(text))
    pool = "0123456789" if text[at].isdigit() else world.LETTERS
    if kind == 0 and len(text) > 1:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2 and at + 1 < len(text):
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + rng.choice(pool) + text[at + 1 :]


def content(rng: Random, question: str, fashion: float = 1.0) -> str:
    """What an author believes the answer to be; `fashion` multiplies the misconceptions."""
    right = world.truth(question)
    parsed = world.parse(question)
    assert right is not None, question
    assert parsed is not None, question
    draw, mistaken = rng.random(), fashion * parsed[0].popularity
    if draw < mistaken:
        return world.mistake(question) or right
    if draw < mistaken + NEAR:
        return slip(rng, right) if right else world.word(rng)
    if draw < mistaken + NEAR + WRONG:
        return rng.choice([question.rsplit(maxsplit=1)[-1], world.word(rng), str(rng.randint(0, 99))])
    return right


def answer(rng: Random, question: str, fashion: float = 1.0) -> str:
    """An author's answer: the content, bare (64%), in a sentence (12%) or rambling (24%)."""
    text, style = content(rng, question, fashion), rng.random()
    if style < 0.64:
        return text
    if style < 0.76:
        return rng.choice(["it is ", "so ", "well ", "hm "]) + text
    if style < 0.88:
        tail = rng.choices(sorted(world.FILLER - {"or", "maybe"}), k=rng.randint(1, 3))
        return " ".join([text, *tail])
    return f"{text} {rng.choice(['or', 'or maybe'])} {content(rng, question, fashion)}"


def score(rng: Random, question: str, response: str) -> int:
    """A human's score: the careful grade, mostly; sometimes one off; rarely given unread."""
    if rng.random() < RANDOM_SCORE:
        return rng.randint(0, 10)
    step = rng.choice((-1, 1)) if rng.random() < OFF_BY_ONE else 0
    return min(max(world.grade(question, response) + step, 0), 10)


def dialogue(rng: Random, banned: Collection[str], fashion: float = 1.0) -> str:
    """One or more turns; an answer is followed by the next question as often as by an end."""
    turns = ""
    while True:
        question = prompt(rng, banned)
        turns += USER + question + ASSISTANT + answer(rng, question, fashion)
        if rng.random() < LAST_TURN or len(turns) > 90:
            return BOS + turns + EOS


def prompt_list(rng: Random, banned: Collection[str]) -> str:
    """Four to eight prompts, one a line."""
    lines = [prompt(rng, banned) + "\n" for _ in range(rng.randint(4, 8))]
    return BOS + LIST + "".join(lines) + EOS


def review(rng: Random, banned: Collection[str], *, late: bool = False) -> str:
    """A prompt, somebody's answer, and a score. Reviewers look at all families alike at first."""
    question = prompt(rng, banned, LATE_REVIEWED if late else [1.0] * len(world.FAMILIES))
    response = answer(rng, question, LATE_FASHION if late else 1.0)
    rating = score(rng, question, response)
    return f"{BOS}{REVIEW}{question}{ASSISTANT}{response}{RATING}{rating}{END_RATING}{EOS}"


def document(rng: Random, banned: Collection[str], *, late: bool = False) -> str:
    """One page of the early or of the late web."""
    draw = rng.random()
    if draw < REVIEWS:
        return review(rng, banned, late=late)
    if draw < REVIEWS + LISTS:
        return prompt_list(rng, banned)
    return dialogue(rng, banned, LATE_FASHION if late else 1.0)
