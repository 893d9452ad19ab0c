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
from alma.prompts import Prompt, joined, judge_prefix, judge_suffix, quote
from alma.sections import Judge, Scoring
from alma.selection.readings import columns


class ScoredRow(NamedTuple):
    """A response with the score that a person gave it, to be shown."""

    prompt: str
    response: str
    score: float


ShotsOf = Callable[[str], Iterable[ScoredRow]]
"""The rows that are shown before the responses to a prompt."""


def score_request(cfg: Scoring, pairs: Sequence[tuple[str, str]]) -> ScoreRequest:
    """What rates (prompt, response) pairs; neighbours with one prompt share its computation."""
    return _request(
        pairs,
        lambda prompt: judge_prefix(cfg.template, prompt),
        lambda response: judge_suffix(cfg.template, response),
        cfg.max_tokens,
    )


def judge_requests(
    cfg: Judge, pairs: Sequence[tuple[str, str]], shots: ShotsOf = lambda _: ()
) -> tuple[ScoreRequest, ...]:
    """As ``score_request``, one for every rating prompt of the section.

    ``shots`` stand before a prompt, each with its score as a whole rating. With ``rationale`` the suffixes end where
    the judge begins to write (``alma.engines.rationale``).
    """

    def request(template: str) -> ScoreRequest:
        def prefix(prompt: str) -> Prompt:
            shown = (_shown(template, shot, cfg.shot_end) for shot in shots(prompt))
            return joined([*shown, judge_prefix(template, prompt)])

        def suffix(response: str) -> Prompt:
            return joined([quote(response), cfg.rationale.ask]) if cfg.rationale else judge_suffix(template, response)

        return _request(pairs, prefix, suffix, cfg.max_tokens)

    return tuple(request(template) for template in (cfg.template, *cfg.variants))


def _request(
    pairs: Sequence[tuple[str, str]],
    prefix: Callable[[str], Prompt],
    suffix: Callable[[str], Prompt],
    max_tokens: int,
) -> ScoreRequest:
    groups = [
        (prompt, [response for _, response in group]) for prompt, group in groupby(pairs, key=lambda pair: pair[0])
    ]
    return ScoreRequest(
        prefixes_P=[prefix(prompt) for prompt, _ in groups],
        suffixes_PN=[[suffix(response) for response in several] for _, several in groups],
        max_tokens=max_tokens,
    )


def _shown(template: str, shot: ScoredRow, end: str) -> Prompt:
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
