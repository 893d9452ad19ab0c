"""Reading ratings with vLLM: ``VllmScorer``.

Axes: P prompts, N responses of one prompt, R ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from alma.engines.prefix import shared_prefix
from alma.engines.rating import RatingTokens
from alma.engines.requests import Rated, Rating, ScoreRequest
from alma.engines.vllm.model import Sequences, VllmModel
from alma.sections import Scoring


class VllmScorer(VllmModel):
    """``alma.engines.Scorer`` over vLLM: one generated token per distinct response, two where "10" is two tokens.

    Only the rating tokens' log-probabilities are asked for. What the responses of a prompt begin with is computed once
    by prefix caching, in whole blocks (16 tokens on a GPU, 128 on a CPU). A rating prompt needs room for the generated
    tokens in the context: one token less than ``hf`` reads.
    """

    def __init__(self, cfg: Scoring, model: Path) -> None:
        super().__init__(cfg, model, enable_prefix_caching=cfg.vllm.prefix_caching)
        self.ratings = RatingTokens.of(self.tokenizer, cfg.template)
        self.num_positions = 1 if self.ratings.ten is None else 2

    def sequences(self, request: ScoreRequest) -> Sequences:
        """One for every distinct response of every prompt that is not too long to read.

        The tokens heard of are those that were computed: cached ones not again.
        """
        texts = request.distinct()
        ids_BT = self.encode(list(texts.values()))
        room = min(request.max_tokens, self.context - self.num_positions)
        readable = [(pair, ids) for pair, ids in zip(texts, ids_BT, strict=True) if len(ids) <= room]
        params = self._params()

        def answer(outputs: list[Any]) -> list[list[Rating]]:
            return request.answer(
                {
                    pair: self._rating(output.outputs[0].logprobs)
                    for (pair, _), output in zip(readable, outputs, strict=True)
                }
            )

        def heard(output: Any) -> int:
            return len(output.prompt_token_ids) - (output.num_cached_tokens or 0) + self.num_positions - 1

        # What was found in the cache depends on the timing, and a manifest states this number.
        num_tokens = self._num_tokens(readable)
        return Sequences([(ids, params) for _, ids in readable], answer, heard, lambda _: num_tokens)

    def _num_tokens(self, readable: Sequence[tuple[Rated, list[int]]]) -> int:
        """Tokens to be read, those with which all rating prompts of a prompt begin once, as ``hf`` counts them."""
        total = 0
        for _, group in groupby(readable, key=lambda each: each[0][0]):
            ids_NT = [ids for _, ids in group]
            shared = len(shared_prefix([ids[:-1] for ids in ids_NT]))
            total += shared + sum(len(ids) - shared + self.num_positions - 1 for ids in ids_NT)
        return total

    def _params(self) -> Any:
        """One token after "1", where "10" is "1" and "0", is read by allowing nothing else before it.

        What is allowed decides the token and not the log-probabilities, which are of the whole vocabulary.
        """
        ten = self.ratings.ten
        return self.vllm.SamplingParams(
            temperature=0.0,
            max_tokens=self.num_positions,
            ignore_eos=True,
            logprob_token_ids=sorted({*self.ratings.first_ids, *(ten or ())}),
            allowed_token_ids=None if ten is None else [ten[0]],
            detokenize=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _rating(self, logprobs: Sequence[dict[int, Any]]) -> Rating:
        first_R = np.array([logprobs[0][each].logprob for each in self.ratings.first_ids])
        ten = self.ratings.ten
        probs_R, mass = self.ratings.probs(first_R, None if ten is None else np.array(logprobs[1][ten[1]].logprob))
        return Rating(probs_R=tuple(probs_R.tolist()), mass=float(mass))
