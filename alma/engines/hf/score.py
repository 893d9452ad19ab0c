"""Reading ratings with transformers: ``HfScorer``.

Axes: B rows of a batch, K places that are read, R ratings, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from alma.engines.answering import OneByOne
from alma.engines.hf.ends import Beginning, beginnings, ends
from alma.engines.hf.model import HfModel
from alma.engines.rating import RatingTokens
from alma.engines.requests import Floats, OnTokens, Rated, Rating, ScoreRequest
from alma.sections import Scoring


class HfScorer(HfModel, OneByOne[ScoreRequest, list[list[Rating]]]):
    """``alma.engines.Scorer`` over transformers: two forward passes a batch, one over prefixes, one over the rest.

    At the end of the judge template the tokenizer has to spell ratings readably (``alma.engines.rating``; else
    ``ConfigError``).
    """

    def __init__(self, cfg: Scoring, model: Path) -> None:
        super().__init__(cfg, model)
        self.ratings = RatingTokens.of(self.tokenizer, cfg.template)

    def answer_one(self, request: ScoreRequest, on_tokens: OnTokens) -> list[list[Rating]]:
        """See ``alma.engines.OneByOne``. ``on_tokens`` hears of the tokens computed: shared ones once."""
        ratings: dict[Rated, Rating] = {}
        count = 1 if self.ratings.ten is None else 2
        for group in self._groups(beginnings(self, self._texts(request), count)):
            with torch.inference_mode():
                for names, logits_BKV in ends(self, group, count, self.cfg.batch_rows, on_tokens):
                    probs_BR, mass_B = self._read(logits_BKV)
                    for name, probs_R, mass in zip(names, probs_BR.tolist(), mass_B.tolist(), strict=True):
                        ratings[name] = Rating(probs_R=tuple(probs_R), mass=mass)
        return request.answer(ratings)

    def _texts(self, request: ScoreRequest) -> dict[Rated, list[int]]:
        """The tokens of each distinct text that is short enough, with the "1" of a "10" that is two tokens."""
        texts = request.distinct()
        second = [] if self.ratings.ten is None else [self.ratings.ten[0]]
        return {
            name: ids + second
            for name, ids in zip(texts, self.encode(list(texts.values())), strict=True)
            if len(ids) <= request.max_tokens and (self.context is None or len(ids) + len(second) <= self.context)
        }

    def _groups(self, prompts: list[Beginning]) -> Iterator[list[Beginning]]:
        """Prompts of about the same length, with ``batch_rows`` rows or one prompt; the longest first.

        Where the model takes no padding on the left, of exactly the same length.
        """
        group: list[Beginning] = []
        num_rows = 0
        for prompt in sorted(prompts, key=lambda each: -len(each.shared_T)):
            apart = not self.ways.left and group and len(group[0].shared_T) != len(prompt.shared_T)
            if group and (num_rows + len(prompt.rest_NT) > self.cfg.batch_rows or apart):
                yield group
                group, num_rows = [], 0
            group.append(prompt)
            num_rows += len(prompt.rest_NT)
        if group:
            yield group

    def _read(self, logits_BKV: torch.Tensor) -> tuple[Floats, Floats]:
        """The ratings (B, R) and their mass (B,)."""
        logprobs_BKV = logits_BKV.float().log_softmax(-1)
        first_BR = logprobs_BKV[:, 0, list(self.ratings.first_ids)].double().cpu().numpy()
        if self.ratings.ten is None:
            return self.ratings.probs(first_BR)
        return self.ratings.probs(first_BR, logprobs_BKV[:, 1, self.ratings.ten[1]].double().cpu().numpy())
