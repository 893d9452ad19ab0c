"""Generation with transformers: ``HfGenerator``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from alma.engines.answering import OneByOne
from alma.engines.certain import Certain
from alma.engines.chat import check_stop_texts, stop_texts
from alma.engines.continuation import EXACT, answer_of
from alma.engines.dialogue import asking
from alma.engines.hf.decode import Rows, decode, decoding
from alma.engines.hf.model import HfModel
from alma.engines.hf.stop_texts import StopTexts
from alma.engines.requests import TOO_LONG, Completion, GenerateRequest, OnTokens
from alma.engines.tokenizer import special_texts, stop_ids
from alma.prompts import Prompt
from alma.prompts.conversation import Message
from alma.sections import Inference


class HfGenerator(HfModel, OneByOne[GenerateRequest, list[list[Completion]]]):
    """``alma.engines.Generator`` over transformers.

    A sample's tokens come from uniforms of its own seed, so they do not depend on order, neighbours or sharding; what
    remains is the last bit of the logits, which batch shape and padding may change, most in bfloat16.

    A row stops at an end token (``alma.engines.tokenizer.stop_ids``), at a stop text, after ``max_new_tokens``, or
    where the context is full.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        super().__init__(cfg, model)
        self.end_ids = torch.tensor(sorted(stop_ids(model, self.tokenizer)), device=self.device)

    @cached_property
    def texts_V(self) -> list[str]:
        """Each token alone as text; empty for ids that the tokenizer does not know."""
        known = len(self.tokenizer)
        texts_V: list[str] = self.tokenizer.batch_decode([[each] for each in range(known)], **EXACT)
        return texts_V + [""] * (self.num_ids - known)

    @cached_property
    def special(self) -> frozenset[str]:
        """``special_texts`` of the tokenizer."""
        return special_texts(self.tokenizer)

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> Prompt:
        """See ``alma.engines.Generator``. A model without a (working) chat template raises ``DataError``."""
        return asking(self.tokenizer, prompt, earlier)

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """See ``alma.engines.Generator``."""
        return stop_texts(self.tokenizer, rating_template)

    def answer_one(self, request: GenerateRequest, on_tokens: OnTokens) -> list[list[Completion]]:
        """See ``alma.engines.OneByOne``."""
        check_stop_texts(request.stop)
        ids_PT = self.encode(request.texts_P)
        asked_PN = [
            seeds if self.context is None or len(ids) < self.context else ()
            for ids, seeds in zip(ids_PT, request.seeds_PN, strict=True)
        ]
        stops = StopTexts(self.tokenizer, self.texts_V if request.stop else (), request.stop, self.device)
        completions: dict[tuple[int, int], Completion] = {}
        for batch in self._batches(ids_PT, asked_PN):
            rank = {place: at for at, place in enumerate(dict.fromkeys(place for place, _ in batch))}
            seeds_B = [request.seeds_PN[place][sample] for place, sample in batch]
            limits_B = [self._limit(len(ids_PT[place]), request.max_new_tokens) for place, _ in batch]
            rows = Rows(
                prompt_B=[rank[place] for place, _ in batch],
                limits_B=limits_B,
                # For as many tokens as there may be: the first ones of a seed are the same, however many are drawn.
                uniforms_BT=None if request.sampling is None else uniforms(seeds_B, max(limits_B)),
            )
            ids_of = [ids_PT[each] for each in rank]
            with torch.inference_mode():
                done = decode(self, ids_of, rows, request.sampling, stops, self.end_ids, on_tokens)
            for (place, sample), each in zip(batch, done, strict=True):
                completions[place, sample] = answer_of(each, request.texts_P[place], self.special)
        return [
            [completions.get((place, sample), TOO_LONG) for sample in range(len(seeds))]
            for place, seeds in enumerate(request.seeds_PN)
        ]

    def room(self, text: str) -> int | None:
        """See ``alma.engines.Streamer``."""
        return None if self.context is None else max(0, self.context - len(self.encode([text])[0]))

    def stream(self, request: GenerateRequest) -> Iterator[Completion]:
        """See ``alma.engines.Streamer``."""
        check_stop_texts(request.stop)
        [text], [[seed]] = request.texts_P, request.seeds_PN
        [ids] = self.encode([text])
        limit = self._limit(len(ids), request.max_new_tokens)
        if limit < 1:
            yield TOO_LONG
            return
        uniforms_BT = None if request.sampling is None else uniforms([seed], limit)
        stops = StopTexts(self.tokenizer, self.texts_V if request.stop else (), request.stop, self.device)
        rows = Rows(prompt_B=[0], limits_B=[limit], uniforms_BT=uniforms_BT)
        steps = decoding(self, [ids], rows, request.sampling, stops, self.end_ids, lambda _: None)
        certain = Certain(self.tokenizer, text, ids[-1], self.special, request.stop)
        over = False
        while not over:
            with torch.inference_mode():
                tokens_BT, completions = next(steps)
            said, over = (certain.whole(completions[0]), True) if completions else certain.of(tokens_BT[0].tolist())
            yield said

    def _batches(
        self, ids_PT: Sequence[Sequence[int]], seeds_PN: Sequence[Sequence[int]]
    ) -> Iterator[list[tuple[int, int]]]:
        """Samples as (prompt, sample) in batches of prompts of about the same length, the longest first.

        The longest first so that too large a batch fails at once.
        """
        order = sorted(range(len(ids_PT)), key=lambda place: -len(ids_PT[place]))
        samples = [(place, sample) for place in order for sample in range(len(seeds_PN[place]))]
        alike = [samples]
        if not self.ways.left:  # only prompts of one length side by side
            alike = [list(group) for _, group in groupby(samples, key=lambda each: len(ids_PT[each[0]]))]
        for group in alike:
            for start in range(0, len(group), self.cfg.batch_rows):
                yield group[start : start + self.cfg.batch_rows]

    def _limit(self, num_tokens: int, max_new_tokens: int) -> int:
        return max_new_tokens if self.context is None else min(max_new_tokens, self.context - num_tokens)


def uniforms(seeds_B: Sequence[int], num: int) -> torch.Tensor:
    """The numbers in [0, 1) that decide the tokens of each seed's sample: (B, num) float32."""
    return torch.from_numpy(
        np.stack([np.random.Generator(np.random.PCG64(seed)).random(num, dtype=np.float32) for seed in seeds_B])
    )
