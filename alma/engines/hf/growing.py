"""Texts that grow by a token at a time, and what the model says after each: with a cache, or read whole every time.

Axes: P prompts, B rows (samples of the prompts), T tokens, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from alma.engines.hf.model import LanguageModel, positions_of


class Growing(ABC):
    """The rows of a batch; row b begins as prompt ``prompt_B[b]``."""

    shrink_below = 1.0
    """Rows may be taken out when fewer than this fraction still runs; 0 = never."""

    def __init__(self, lm: LanguageModel, ids_PT: Sequence[Sequence[int]], prompt_B: Sequence[int]) -> None:
        self.lm = lm
        self.ids_PT = ids_PT
        self.prompt_B = list(prompt_B)

    @abstractmethod
    def start(self, num_steps: int) -> torch.Tensor:
        """Reads the prompts; the logits after them, (B, V). At most ``num_steps`` tokens follow."""

    @abstractmethod
    def step(self, token_B: torch.Tensor) -> torch.Tensor:
        """Adds a token to each row; the logits after it, (B, V)."""

    @abstractmethod
    def keep(self, places: torch.Tensor) -> None:
        """Takes all rows but these out."""


def growing(lm: LanguageModel, ids_PT: Sequence[Sequence[int]], prompt_B: Sequence[int]) -> Growing:
    """In the way that is safe with the model. Without padding on the left, prompts have to be of one length."""
    if lm.ways.cache == "none":
        return _Whole(lm, ids_PT, prompt_B)
    return (_Cached if lm.borders is None else _Bordered)(lm, ids_PT, prompt_B)


class _Cached(Growing):
    """One prefill per prompt, its cache repeated for the samples, or one per sample; then a token at a time."""

    def start(self, num_steps: int) -> torch.Tensor:
        """See ``Growing``."""
        lm = self.lm
        shared = lm.ways.cache == "shared"
        if not shared:
            lm.forget()
        # Taking out copies the cache, keeping costs arithmetic.
        self.shrink_below = 0.9 if shared else 0.0
        ids, mask = lm.padded(self.ids_PT if shared else [self.ids_PT[each] for each in self.prompt_B], "left")
        self.cache = lm.cache()
        logits = lm.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions_of(mask),
            **lm.caching(self.cache),
            logits_to_keep=1,
        ).logits[:, -1]
        if shared:
            prompt_B = torch.tensor(self.prompt_B, device=lm.device)
            self.cache.reorder_cache(prompt_B)
            mask, logits = mask[prompt_B], logits[prompt_B]
        self.length_B = mask.sum(1)
        self.mask_BT = pad(mask, (0, num_steps), value=1)  # padding, prompt and all tokens to come
        self.width = ids.shape[1]
        return logits

    def step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See ``Growing``."""
        lm = self.lm
        self.width += 1
        logits_BV: torch.Tensor = lm.model(
            input_ids=token_B[:, None],
            attention_mask=lm.mask_after(self.mask_BT[:, : self.width], 1),
            position_ids=self.length_B[:, None],
            **lm.caching(self.cache),
        ).logits[:, -1]
        self.length_B = self.length_B + 1
        if lm.context is not None:  # of rows that are done and still here
            self.length_B = self.length_B.clamp_max(lm.context - 1)
        return logits_BV

    def keep(self, places: torch.Tensor) -> None:
        """See ``Growing``."""
        self.cache.reorder_cache(places)
        self.length_B, self.mask_BT = self.length_B[places], self.mask_BT[places]


class _Whole(Growing):
    """No cache: every row is read from its beginning for every token."""

    def start(self, num_steps: int) -> torch.Tensor:
        """See ``Growing``."""
        del num_steps
        self.ids_BT = [list(self.ids_PT[each]) for each in self.prompt_B]
        return self._read()

    def step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See ``Growing``."""
        for ids, token in zip(self.ids_BT, token_B.tolist(), strict=True):
            ids.append(token)
        return self._read()

    def keep(self, places: torch.Tensor) -> None:
        """See ``Growing``."""
        self.ids_BT = [self.ids_BT[each] for each in places.tolist()]

    def _read(self) -> torch.Tensor:
        lm, size = self.lm, len(self.ids_BT) if self.lm.ways.right else 1
        return torch.cat([self._batch(lm, self.ids_BT[at : at + size]) for at in range(0, len(self.ids_BT), size)])

    @staticmethod
    def _batch(lm: LanguageModel, ids_BT: Sequence[Sequence[int]]) -> torch.Tensor:
        ids, mask = lm.padded(ids_BT, "right")
        rows_B = torch.arange(len(ids_BT), device=lm.device)[:, None]
        with lm.read_at(rows_B, mask.sum(1, keepdim=True) - 1):
            logits_BV: torch.Tensor = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -1]
        return logits_BV


class _Bordered(Growing):
    """With a cache, which is made anew where a row passes a border of its rotary embedding."""

    def start(self, num_steps: int) -> torch.Tensor:
        """See ``Growing``."""
        self.ids_BT = [list(self.ids_PT[each]) for each in self.prompt_B]
        self.num_steps = num_steps
        self.cached = _Cached(self.lm, self.ids_PT, self.prompt_B)
        logits_BV = self.cached.start(num_steps)
        self.shrink_below = float(self.cached.shrink_below > 0)
        return logits_BV

    def step(self, token_B: torch.Tensor) -> torch.Tensor:
        """See ``Growing``."""
        self.num_steps -= 1
        passed = False
        for ids, token in zip(self.ids_BT, token_B.tolist(), strict=True):
            ids.append(token)
            passed |= self.lm.kind(len(ids)) != self.lm.kind(len(ids) - 1)
        if not passed:
            return self.cached.step(token_B)
        self.cached = _Cached(self.lm, self.ids_BT, range(len(self.ids_BT)))
        return self.cached.start(self.num_steps)

    def keep(self, places: torch.Tensor) -> None:
        """See ``Growing``."""
        self.cached.keep(places)
        self.ids_BT = [self.ids_BT[each] for each in places.tolist()]
