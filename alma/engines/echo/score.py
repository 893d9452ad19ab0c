"""Ratings out of a hash: ``EchoScorer``."""

from __future__ import annotations

import math
import random

from alma.engines.answering import OneByOne
from alma.engines.echo.model import EchoModel, count_tokens, digest
from alma.engines.requests import UNREADABLE, OnTokens, Rating, ScoreRequest
from alma.prompts import RATINGS
from alma.sections import Scoring

_LOW_MASS_SHARE = 0.01


class EchoScorer(EchoModel[Scoring], OneByOne[ScoreRequest, list[list[Rating]]]):
    """``alma.engines.Scorer``: a bell over 0..10 by (model, text), mass about 0.95; one in a hundred has little."""

    def answer_one(self, request: ScoreRequest, on_tokens: OnTokens) -> list[list[Rating]]:
        """See ``alma.engines.OneByOne``. ``on_tokens`` hears of every text whole."""
        ratings_PN: list[list[Rating]] = []
        for prefix, suffixes in zip(request.prefixes_P, request.suffixes_PN, strict=True):
            texts = [prefix + suffix for suffix in suffixes]
            ratings_PN.append(
                [self._rating(text) if count_tokens(text) <= request.max_tokens else UNREADABLE for text in texts]
            )
            on_tokens(sum(map(count_tokens, texts)))
        return ratings_PN

    def _rating(self, text: str) -> Rating:
        rng = random.Random(digest(self.fingerprint, "rating", text))
        centre, width = rng.uniform(0, 10), rng.uniform(0.7, 2.0)
        weights = [math.exp(-((k - centre) ** 2) / (2 * width**2)) for k in RATINGS]
        mass = rng.uniform(0.01, 0.3) if rng.random() < _LOW_MASS_SHARE else rng.uniform(0.9, 0.999)
        return Rating(probs_R=tuple(each / sum(weights) for each in weights), mass=mass)
