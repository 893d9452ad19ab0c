"""What a judge is asked, and what is read of its answer: for every stage that has responses rated.

Axes: P prompts, N responses of one prompt, R ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from alma.engines.answering import ask
from alma.engines.protocols import Scorer
from alma.engines.requests import Rating, ScoreRequest
from alma.prompts import judge_prefix, judge_suffix
from alma.sections import Scoring
from alma.selection.readings import columns


def score_request(cfg: Scoring, pairs: Sequence[tuple[str, str]]) -> ScoreRequest:
    """What rates (prompt, response) pairs; neighbours with one prompt share its computation."""
    groups = [
        (prompt, [response for _, response in group]) for prompt, group in groupby(pairs, key=lambda pair: pair[0])
    ]
    return ScoreRequest(
        prefixes_P=[judge_prefix(cfg.template, prompt) for prompt, _ in groups],
        suffixes_PN=[[judge_suffix(cfg.template, response) for response in several] for _, several in groups],
        max_tokens=cfg.max_tokens,
    )


def rate(cfg: Scoring, scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> list[Rating]:
    """Rates (prompt, response) pairs, in their order."""
    return [rating for several in ask(scorer, score_request(cfg, pairs)) for rating in several]


def reading(cfg: Scoring, rating: Rating) -> dict[str, Any]:
    """The columns of a judgement that follow from its distribution."""
    return {
        "probs": [float(each) for each in rating.probs_R],
        "mass": rating.mass,
        **columns(rating.probs_R),
        "parsed": rating.mass >= cfg.min_mass,
    }
