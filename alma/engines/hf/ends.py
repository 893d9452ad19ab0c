"""What a model says where texts end, of many that begin alike.

Axes: P prompts, N texts of one prompt, B rows of a batch, K places at a text's end, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from alma.engines.hf.model import LanguageModel, positions_of
from alma.engines.prefix import shared_prefix
from alma.engines.requests import OnTokens, Rated

_SMALL = 32
"""Batches of fewer rows are not split for padding's sake: a forward pass has its own cost."""

_Row = tuple[int, Rated, list[int]]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Tokens that texts share, and what follows them in each, by the text's name."""

    shared_T: list[int]
    rest_NT: dict[Rated, list[int]]


def beginnings(lm: LanguageModel, texts: dict[Rated, list[int]], count: int) -> list[Beginning]:
    """Texts with what those of one prompt share, but for their last ``count`` tokens.

    Apart where the model has to read them whole, or turns a short text by other angles than a long one.
    """
    if not lm.ways.prefix:
        return [Beginning([], {name: ids}) for name, ids in texts.items()]
    alike: dict[tuple[int, tuple[int, ...]], dict[Rated, list[int]]] = {}
    for name, ids in texts.items():
        alike.setdefault((name[0], lm.kind(len(ids))), {})[name] = ids
    found = []
    for ids_of in alike.values():
        # What is read has to be computed in the second pass.
        shared = shared_prefix([ids[:-count] for ids in ids_of.values()])
        found.append(Beginning(shared, {name: ids[len(shared) :] for name, ids in ids_of.items()}))
    return found


def ends(
    lm: LanguageModel, group: Sequence[Beginning], count: int, batch_rows: int, on_tokens: OnTokens
) -> Iterator[tuple[list[Rated], torch.Tensor]]:
    """Names of texts and the logits at the last ``count`` places of each, (B, K, V).

    Two forward passes: one over what is shared, padded on the left, one over the rest. ``on_tokens`` hears of the
    tokens computed: shared ones once.
    """
    cache = lm.cache() if lm.ways.prefix else None
    lengths_P = torch.tensor([len(each.shared_T) for each in group], device=lm.device)
    mask = torch.zeros(len(group), 0, dtype=torch.long, device=lm.device)
    if cache is not None and any(each.shared_T for each in group):
        ids, mask = lm.padded([each.shared_T for each in group], "left")
        whole_P = [len(each.shared_T) + max(map(len, each.rest_NT.values())) for each in group]
        with lm.of_lengths(whole_P):
            lm.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions_of(mask),
                **lm.caching(cache),
                logits_to_keep=1,
            )
    on_tokens(sum(len(each.shared_T) for each in group))
    rows = [(place, name, rest) for place, each in enumerate(group) for name, rest in each.rest_NT.items()]
    for batch in _by_length(rows, batch_rows if lm.ways.right else 1):
        prompt_B = torch.tensor([place for place, _, _ in batch], device=lm.device)
        ids, own = lm.padded([rest for _, _, rest in batch], "right")
        cached = {"use_cache": False} if cache is None else lm.caching(rows_of(cache, prompt_B))
        places_BK = own.sum(1)[:, None] + torch.arange(-count, 0, device=lm.device)
        rows_B1 = torch.arange(len(batch), device=lm.device)[:, None].expand_as(places_BK)
        whole_B = [len(group[place].shared_T) + len(rest) for place, _, rest in batch]
        with lm.read_at(rows_B1, places_BK), lm.of_lengths(whole_B):
            logits_BKV = lm.model(
                input_ids=ids,
                attention_mask=lm.mask_after(torch.cat([mask[prompt_B], own], 1), own.shape[1]),
                position_ids=lengths_P[prompt_B][:, None] + torch.arange(ids.shape[1], device=lm.device),
                **cached,
            ).logits
        on_tokens(sum(len(rest) for _, _, rest in batch))
        yield [name for _, name, _ in batch], logits_BKV


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


def rows_of(cache: DynamicCache, prompt_B: torch.Tensor) -> DynamicCache:
    """A cache whose row b continues row ``prompt_B[b]`` of ``cache``, which stays as it is."""
    taken = copy.copy(cache)
    taken.layers = [copy.copy(each) for each in cache.layers]
    for layer in taken.layers:  # linear attention keeps its states in lists and changes these in place
        for name, value in vars(layer).items():
            if isinstance(value, list | dict):
                setattr(layer, name, copy.copy(value))
    taken.reorder_cache(prompt_B)
    return taken
