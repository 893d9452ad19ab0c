"""Reading ratings from a served judge: ``OpenaiScorer``.

Axes: P prompts, N responses of one prompt, R ratings.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alma.engines.answering import OneByOne
from alma.engines.openai.model import ServedModel
from alma.engines.rating import RatingTokens
from alma.engines.requests import UNREADABLE, OnTokens, Rating, ScoreRequest
from alma.errors import ConfigError
from alma.prompts import RATINGS, joined, judge_prefix, judge_suffix
from alma.sections import Scoring

log = logging.getLogger(__name__)

MOST_NATS = 1e6
"""Below 0 of a log-probability: servers write -9999 for none at all, some minus infinity."""

MAX_UNSEEN_SHARE = 0.02
"""Largest share of the scale that may lie in ratings the server did not list; beyond it a response is unparsable.

The mean is then off by a fifth of a point at the very most."""


class Listed(NamedTuple):
    """What a server lists at one position: probabilities by token, and the most that any other token can have."""

    probs: dict[str, float]
    rest: float

    def of(self, tokens: Sequence[str]) -> tuple[list[float], float]:
        """The tokens' probabilities, 0 where not listed, and the most that the unlisted ones have together."""
        num_missing = sum(each not in self.probs for each in set(tokens))
        left = max(0.0, 1.0 - sum(self.probs.values()))
        return [self.probs.get(each, 0.0) for each in tokens], min(left, num_missing * self.rest)


class OpenaiScorer(ServedModel, OneByOne[ScoreRequest, list[list[Rating]]]):
    """``alma.engines.Scorer`` over ``/completions``: one request per distinct response, two where "10" is two tokens.

    A rating that is not among the listed log-probabilities counts as nothing, so ``mass`` is never more than it is.
    A server that lists no log-probabilities, or fewer than there are ratings, raises ``ConfigError`` at the start.
    """

    def __init__(self, cfg: Scoring, model: Path) -> None:
        super().__init__(cfg, model)
        self.min_mass = cfg.min_mass
        try:
            self.ratings = RatingTokens.of(self.tokenizer, cfg.template)
            self._names_R = [self._name(each) for each in self.ratings.first_ids]
            self._check_names()
            text = joined([judge_prefix(cfg.template, "1 + 1?"), judge_suffix(cfg.template, "2")])
            self._listed(self.endpoint.complete(self._body(text, self.encode([text])[0])))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def answer_one(self, request: ScoreRequest, on_tokens: OnTokens) -> list[list[Rating]]:
        """See ``alma.engines.OneByOne``. ``on_tokens`` hears of the tokens sent."""
        texts = request.distinct()
        rated, texts_B = list(texts), list(texts.values())
        ids_BT = self.encode(texts_B)
        num_more = 1 if self.ratings.ten is None else 2
        room = request.max_tokens if self.context is None else min(request.max_tokens, self.context - num_more)
        readable = [at for at, ids in enumerate(ids_BT) if len(ids) <= room]
        bodies = [self._body(texts_B[at], ids_BT[at]) for at in readable]
        firsts = [self._listed(each) for each in self._all(bodies, [len(ids_BT[at]) for at in readable], on_tokens)]
        seconds: dict[int, Listed] = {}
        if self.ratings.ten is not None:
            one = self.ratings.ten[0]
            asked = [at for at, first in enumerate(firsts) if self._names_R[1] in first.probs]
            # The text of "1" is "1": RatingTokens saw to it that no token crosses its border.
            ids_of = {at: [*ids_BT[readable[at]], one] for at in asked}
            more = [self._body(joined([texts_B[readable[at]], "1"]), ids_of[at]) for at in asked]
            answers = self._all(more, [1] * len(asked), on_tokens)
            seconds = {at: self._listed(each) for at, each in zip(asked, answers, strict=True)}
        found = [self._rating(first, seconds.get(at)) for at, first in enumerate(firsts)]
        ratings = {rated[at]: rating or UNREADABLE for at, rating in zip(readable, found, strict=True)}
        if unseen := sum(rating is None for rating in found):
            log.warning(
                "%d of %d ratings are unparsable because much of the scale may lie outside the %d log-probabilities "
                "that the endpoint lists; raise openai.top_logprobs, or set openai.extensions = 'vllm' for a vLLM",
                unseen,
                len(found),
                self.settings.top_logprobs,
            )
        return request.answer(ratings)

    def _all(self, bodies: list[dict[str, Any]], sizes: list[int], on_tokens: OnTokens) -> list[dict[str, Any]]:
        return self.endpoint.complete_all(bodies, lambda place, _: on_tokens(sizes[place]))

    def _body(self, text: str, ids: list[int]) -> dict[str, Any]:
        prompt = self.prompt(text, ids)
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 0.0, "logprobs": self.settings.top_logprobs}
        if self.extended:
            wanted = sorted({*self.ratings.first_ids, *(self.ratings.ten or ())})
            body |= {"logprobs": 1, "logprob_token_ids": wanted, "return_tokens_as_token_ids": True}
        return body

    def _name(self, token: int) -> str:
        """How the server names a token in its list."""
        return f"token_id:{token}" if self.extended else str(self.tokenizer.decode([token]))

    def _check_names(self) -> None:
        """Raises ``ConfigError`` where a rating's token shares its text with another: a list by text mixes them."""
        if self.extended:
            return
        ratings = set(self.ratings.first_ids)
        texts_V = self.tokenizer.batch_decode([[each] for each in range(len(self.tokenizer))])
        shared = [at for at, text in enumerate(texts_V) if at not in ratings and text in self._names_R]
        if shared:
            raise ConfigError(
                f"the tokens {self.tokenizer.convert_ids_to_tokens(shared[0])!r} and {texts_V[shared[0]]!r} of "
                f"{self.path} are one text, so that log-probabilities listed by text cannot tell a rating from another "
                "word; serve the judge with vLLM and set openai.extensions = 'vllm', or take engine = 'hf' or 'vllm'"
            )

    def _listed(self, answer: dict[str, Any]) -> Listed:
        """The first position's log-probabilities: OpenAI's map by token, or the list of its chat API."""
        told = answer.get("logprobs")
        place = _first(told.get("top_logprobs") or told.get("content")) if isinstance(told, dict) else None
        if isinstance(place, dict) and isinstance(place.get("top_logprobs"), list):
            pairs = [(each.get("token"), each.get("logprob")) for each in place["top_logprobs"] if _is_map(each)]
        else:
            pairs = list(place.items()) if isinstance(place, dict) else []
        wanted = len(set(self._names_R))
        if len(pairs) < wanted:
            asked = "the ratings'" if self.extended else self.settings.top_logprobs
            raise self.endpoint.refusal(
                f"lists {len(pairs)} log-probabilities per token where {asked} were asked for, and the ratings need "
                f"{wanted} at least: let the server list more (vLLM: --max-logprobs), set openai.extensions = 'vllm' "
                "where it is a vLLM, or judge with engine = 'vllm' or 'hf'"
            )
        probs: dict[str, float] = {}
        for token, logprob in pairs:
            number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
            if not isinstance(token, str) or not number or not (-MOST_NATS <= logprob <= 0.01 or logprob == -math.inf):
                raise self.endpoint.refusal(f"lists {str(logprob)[:40]!r} as the log-probability of a token")
            probs[token] = min(1.0, math.exp(logprob))
        if self.extended:
            return Listed(probs, 0.0 if set(self._names_R) <= set(probs) else 1.0)
        # Some list the token drawn besides, which may be a rare one.
        return Listed(probs, sorted(probs.values(), reverse=True)[: self.settings.top_logprobs][-1])

    def _rating(self, first: Listed, second: Listed | None) -> Rating | None:
        """``None`` where too much of the scale may lie in what is not listed."""
        probs_R, unseen = first.of(self._names_R)
        zero = 0.0
        if self.ratings.ten is not None:
            probs_R[10] = probs_R[1]
            if second is not None:
                (zero,), unseen_zero = second.of([self._name(self.ratings.ten[1])])
                unseen += probs_R[1] * unseen_zero
        total = sum(probs_R[: 10 if self.ratings.ten else None])
        if unseen > MAX_UNSEEN_SHARE * (total + unseen) and total + unseen >= self.min_mass:
            return None
        if total == 0.0:
            return UNREADABLE
        with np.errstate(divide="ignore"):
            first_R, second_logprob = np.log(np.array(probs_R)), np.log(np.array(zero))
        shares_R, mass = self.ratings.probs(first_R, None if self.ratings.ten is None else second_logprob)
        assert len(shares_R) == len(RATINGS), "a rating for each step of the scale"
        return Rating(probs_R=tuple(shares_R.tolist()), mass=min(1.0, float(mass)))


def _first(listed: Any) -> Any:
    return listed[0] if isinstance(listed, list) and listed else None


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)
