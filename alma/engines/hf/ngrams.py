"""Which tokens would repeat a run of tokens: ``Sampling.no_repeat_ngram_size``, as transformers bans them.

Axes: B rows of a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Ngrams:
    """The runs of ``size`` tokens that one text holds so far."""

    def __init__(self, size: int, ids: Sequence[int]) -> None:
        self.size = size
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], set[int]] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """Reads one more token."""
        if len(self._ids) >= self.size - 1:
            self._next.setdefault(self._last(), set()).add(token)
        self._ids.append(token)

    def banned(self) -> set[int]:
        """The tokens that would end a run which is there already."""
        return self._next.get(self._last(), set())

    def _last(self) -> tuple[int, ...]:
        return tuple(self._ids[len(self._ids) - self.size + 1 :])


class Ban:
    """What is banned of a batch's texts; nothing where ``size`` is 0."""

    def __init__(self, size: int, texts: Sequence[Sequence[int]]) -> None:
        self._texts = [Ngrams(size, ids) for ids in texts] if size else []

    def laid_on(self, logits_BV: torch.Tensor, row_B: torch.Tensor) -> torch.Tensor:
        """Logits, minus infinity for what would repeat; ``row_B`` are the texts' numbers.

        Where everything would, nothing is banned: a text has to go on with something.
        """
        if not self._texts:
            return logits_BV
        banned = [(place, token) for place, row in enumerate(row_B.tolist()) for token in self._texts[row].banned()]
        if banned:
            places, tokens = zip(*banned, strict=True)
            left_BV = logits_BV.clone()
            left_BV[list(places), list(tokens)] = -torch.inf
            logits_BV = torch.where(left_BV.isneginf().all(-1, keepdim=True), logits_BV, left_BV)
        return logits_BV

    def add(self, row_B: torch.Tensor, token_B: torch.Tensor) -> None:
        """Reads one more token of each text."""
        if self._texts:
            for row, token in zip(row_B.tolist(), token_B.tolist(), strict=True):
                self._texts[row].add(token)
