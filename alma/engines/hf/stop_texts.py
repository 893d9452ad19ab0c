"""Texts that end a continuation, found while it is generated: ``StopTexts``. Axes: B rows, T tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from alma.engines.continuation import before_first, continuations


class StopTexts:
    """Finds texts that end a continuation. A row is decoded only after a token with which a stop text may end.

    ``texts_V`` is each token's own text.
    """

    def __init__(self, tokenizer: Any, texts_V: Sequence[str], stop: Sequence[str], device: torch.device) -> None:
        self.tokenizer = tokenizer
        self.stop = tuple(stop)
        last = {each[-1] for each in self.stop}
        # A token alone may lose its space or be a part of a character: then any stop text may end with it.
        unsure = " " in last
        may_end = [unsure or not text or "\ufffd" in text or not last.isdisjoint(text) for text in texts_V]
        self.may_end_V = torch.tensor(may_end, device=device)

    def candidates(self, token_B: torch.Tensor, open_B: torch.Tensor) -> list[int]:
        """Rows whose newest token may have completed a stop text."""
        if not self.stop:
            return []
        places: list[int] = (self.may_end_V[token_B] & open_B).nonzero()[:, 0].tolist()
        return places

    def cut(self, before_B: Sequence[int], ids_BT: Sequence[list[int]]) -> list[str | None]:
        """Each text up to its first stop text, ``None`` where there is none; ``before_B`` as in ``continuations``."""
        texts_B = continuations(self.tokenizer, before_B, ids_BT) if ids_BT else []
        return [before_first(text, self.stop) for text in texts_B]
