"""What a judge is asked, and what is read of its answer: for every stage that has responses rated.

Axes: P prompts, N responses of one prompt, R ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from alma.engines.answering import ask
from alma.engines.protocols import Scorer
from alma.engines.requests import UNREADABLE, Rating, ScoreRequest
from alma.prompts import joined, judge_prefix, judge_suffix
from alma.sections import Scoring
from alma.selection.readings import columns


class ScoredRow(NamedTuple):
    """A response with the score that a person gave it, to be shown."""

    prompt: str
    response: str
    score: float


ShotsOf = Callable[[str], Iterable[ScoredRow]]
"""The rows that are shown before the responses to a prompt."""


def score_request(
    cfg: Scoring,
    pairs: Sequence[tuple[str, str]],
    template: str | None = None,
    shots: ShotsOf = lambda _: (),
    shot_end: str = "",
) -> ScoreRequest:
    """What rates (prompt, response) pairs; neighbours with one prompt share its computation.

    ``template`` instead of the section's; ``shots`` stand before a prompt in the same template, each with its score,
    rounded to a whole rating, and ``shot_end``.
    """
    template = template or cfg.template
    groups = [
        (prompt, [response for _, response in group]) for prompt, group in groupby(pairs, key=lambda pair: pair[0])
    ]
    return ScoreRequest(
        prefixes_P=[
            joined([*(_shown(template, shot, shot_end) for shot in shots(prompt)), judge_prefix(template, prompt)])
            for prompt, _ in groups
        ],
        suffixes_PN=[[judge_suffix(template, response) for response in several] for _, several in groups],
        max_tokens=cfg.max_tokens,
    )


def _shown(template: str, shot: ScoredRow, end: str) -> str:
    rating = str(int(shot.score + 0.5))
    return joined([judge_prefix(template, shot.prompt), judge_suffix(template, shot.response), rating, end])


def rate(cfg: Scoring, scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> list[Rating]:
    """Rates (prompt, response) pairs, in their order."""
    return [rating for several in ask(scorer, score_request(cfg, pairs)) for rating in several]


def averaged(readings: Sequence[Rating]) -> Rating:
    """The mean of several readings of one response: of the probabilities as they were before they were renormalised.

    So a reading that puts little on the scale counts little, and one that is ``UNREADABLE`` not at all.
    """
    if len(readings) == 1:
        return readings[0]
    probs_R = np.mean([reading.mass * np.array(reading.probs_R) for reading in readings], axis=0)
    mass = float(probs_R.sum())
    return Rating(tuple((probs_R / mass).tolist()), mass) if mass > 0.0 else UNREADABLE


def reading(cfg: Scoring, rating: Rating) -> dict[str, Any]:
    """The columns of a judgement that follow from its distribution."""
    return {
        "probs": [float(each) for each in rating.probs_R],
        "mass": rating.mass,
        **columns(rating.probs_R),
        "parsed": rating.mass > 0.0 and rating.mass >= cfg.min_mass,
    }
