"""Reading ratings with transformers: ``HfScorer``.

Axes: P prompts, N responses of one prompt, B rows of a batch, T tokens, R ratings, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import DynamicCache

from alma.engines.answering import OneByOne
from alma.engines.hf.model import HfModel, positions_of
from alma.engines.prefix import shared_prefix
from alma.engines.rating import RatingTokens
from alma.engines.requests import Floats, OnTokens, Rated, Rating, ScoreRequest
from alma.sections import Scoring

_SMALL = 32
"""Batches of fewer rows are not split for padding's sake: a forward pass has its own cost."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One prompt's distinct rating prompts: the tokens that all share, and what follows them in each."""

    place: int
    shared_T: list[int]
    rest_NT: dict[str, list[int]]  # by suffix text


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
        for group in self._groups(self._prompts(request)):
            with torch.inference_mode():
                ratings |= self._score(group, on_tokens)
        return request.answer(ratings)

    def _prompts(self, request: ScoreRequest) -> list[_Prompt]:
        """Shares what is equal at the beginning of a prompt's whole texts."""
        texts = request.distinct()
        ids_BT = self.encode(list(texts.values()))
        second = [] if self.ratings.ten is None else [self.ratings.ten[0]]
        by_place: dict[int, dict[str, list[int]]] = {}
        for (place, suffix), ids in zip(texts, ids_BT, strict=True):
            if len(ids) <= request.max_tokens and (self.context is None or len(ids) + len(second) <= self.context):
                by_place.setdefault(place, {})[suffix] = ids
        prompts = []
        for place, ids_of in by_place.items():
            # At least one token is left to each row, so that its logits are computed in the second pass.
            shared = shared_prefix([ids[:-1] for ids in ids_of.values()])
            rest = {suffix: ids[len(shared) :] + second for suffix, ids in ids_of.items()}
            prompts.append(_Prompt(place, shared, rest))
        return prompts

    def _groups(self, prompts: list[_Prompt]) -> Iterator[list[_Prompt]]:
        """Prompts of about the same length, with ``batch_rows`` rows or one prompt; the longest first."""
        group: list[_Prompt] = []
        num_rows = 0
        for prompt in sorted(prompts, key=lambda each: -len(each.shared_T)):
            if group and num_rows + len(prompt.rest_NT) > self.cfg.batch_rows:
                yield group
                group, num_rows = [], 0
            group.append(prompt)
            num_rows += len(prompt.rest_NT)
        if group:
            yield group

    def _score(self, group: list[_Prompt], on_tokens: OnTokens) -> dict[Rated, Rating]:
        cache = self.cache()
        lengths_P = torch.tensor([len(each.shared_T) for each in group], device=self.device)
        mask = torch.zeros(len(group), 0, dtype=torch.long, device=self.device)
        if any(each.shared_T for each in group):
            ids, mask = self.padded([each.shared_T for each in group], "left")
            self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions_of(mask),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        on_tokens(sum(len(each.shared_T) for each in group))
        rows = [(place, suffix, rest) for place, each in enumerate(group) for suffix, rest in each.rest_NT.items()]
        ratings: dict[Rated, Rating] = {}
        for batch in _by_length(rows, self.cfg.batch_rows):
            prompt_B = torch.tensor([place for place, _, _ in batch], device=self.device)
            ids, own = self.padded([rest for _, _, rest in batch], "right")
            probs_BR, mass_B = self._read(
                ids,
                own.sum(1),
                attention_mask=torch.cat([mask[prompt_B], own], 1),
                position_ids=lengths_P[prompt_B][:, None] + torch.arange(ids.shape[1], device=self.device),
                past_key_values=_rows_of(cache, prompt_B),
            )
            on_tokens(sum(len(rest) for _, _, rest in batch))
            for (place, suffix, _), probs_R, mass in zip(batch, probs_BR.tolist(), mass_B.tolist(), strict=True):
                ratings[group[place].place, suffix] = Rating(probs_R=tuple(probs_R), mass=mass)
        return ratings

    def _read(self, ids_BT: torch.Tensor, sizes_B: torch.Tensor, **inputs: object) -> tuple[Floats, Floats]:
        """The ratings (B, R) and their mass (B,) where each row of ``ids_BT`` ends."""
        count = 1 if self.ratings.ten is None else 2
        places_BK = sizes_B[:, None] + torch.arange(-count, 0, device=self.device)
        rows_B1 = torch.arange(len(ids_BT), device=self.device)[:, None]

        # The rows end at different places, which logits_to_keep cannot say. Thinning the head's input, and not calling
        # the head on our own, keeps what some architectures do to logits afterwards (scaling, soft caps).
        def thin(_: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (args[0][rows_B1, places_BK],)

        hook = self.model.get_output_embeddings().register_forward_pre_hook(thin)
        try:
            logits_BKV = self.model(input_ids=ids_BT, use_cache=True, **inputs).logits
        finally:
            hook.remove()
        logprobs_BKV = logits_BKV.float().log_softmax(-1)
        first_BR = logprobs_BKV[:, 0, list(self.ratings.first_ids)].double().cpu().numpy()
        if self.ratings.ten is None:
            return self.ratings.probs(first_BR)
        return self.ratings.probs(first_BR, logprobs_BKV[:, 1, self.ratings.ten[1]].double().cpu().numpy())


_Row = tuple[int, str, list[int]]


def _by_length(rows: list[_Row], batch_rows: int) -> Iterator[list[_Row]]:
    """Batches of at most ``batch_rows`` rows, the longest first, with not much more than a third of padding."""
    batch: list[_Row] = []
    num_tokens = 0
    for row in sorted(rows, key=lambda each: -len(each[2])):
        padded = (len(batch) + 1) * len(batch[0][2]) if batch else 0
        wasteful = len(batch) >= _SMALL and num_tokens + len(row[2]) < padded * 2 / 3
        if len(batch) == batch_rows or wasteful:
            yield batch
            batch, num_tokens = [], 0
        batch.append(row)
        num_tokens += len(row[2])
    if batch:
        yield batch


def _rows_of(cache: DynamicCache, prompt_B: torch.Tensor) -> DynamicCache:
    """A cache whose row b continues row ``prompt_B[b]`` of ``cache``, which stays as it is."""
    taken = copy.copy(cache)
    taken.layers = [copy.copy(each) for each in cache.layers]
    if taken.get_seq_length() > 0:
        taken.batch_select_indices(prompt_B)
    return taken
