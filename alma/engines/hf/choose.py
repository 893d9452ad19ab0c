"""One more token for every row of a batch, from its logits: what is penalised, what is banned, and the draw.

Axes: P prompts, B samples (rows of the batch), T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from alma.engines.hf.ngrams import Ban
from alma.sections import Sampling


class Choice:
    """How tokens are chosen after ``ids_PT``, row b continuing ``prompt_B[b]``; ``sampling = None`` is greedy.

    ``uniforms_BT`` holds one number in [0, 1) per row and step.
    """

    def __init__(
        self,
        ids_PT: Sequence[Sequence[int]],
        prompt_B: Sequence[int],
        sampling: Sampling | None,
        uniforms_BT: torch.Tensor | None,
        num_ids: int,
        device: torch.device,
    ) -> None:
        self._sampling = sampling
        self._uniforms_BT = None if uniforms_BT is None else uniforms_BT.to(device)
        self._penalty = 1.0 if sampling is None else sampling.repetition_penalty
        self._seen_BV: torch.Tensor | None = None
        if self._penalty != 1.0:
            self._seen_BV = seen(ids_PT, num_ids, device)[torch.tensor(prompt_B, device=device)]
        size = 0 if sampling is None else sampling.no_repeat_ngram_size
        self._ban = Ban(size, [ids_PT[each] for each in prompt_B])

    def token(self, logits_BV: torch.Tensor, row_B: torch.Tensor, step: int) -> torch.Tensor:
        """The token of each row of the batch, whose numbers are ``row_B``: (B,)."""
        if self._seen_BV is not None:
            logits_BV = penalised(logits_BV, self._seen_BV, self._penalty)
        uniform_B = None if self._uniforms_BT is None else self._uniforms_BT[:, step]
        token_B = choose(self._ban.laid_on(logits_BV, row_B), uniform_B, self._sampling)
        self._ban.add(row_B, token_B)
        if self._seen_BV is not None:
            self._seen_BV.scatter_(1, token_B[:, None], value=True)
        return token_B

    def keep(self, places: torch.Tensor) -> None:
        """Takes all rows but these out of the batch."""
        self._uniforms_BT = None if self._uniforms_BT is None else self._uniforms_BT[places]
        self._seen_BV = None if self._seen_BV is None else self._seen_BV[places]


def seen(ids_PT: Sequence[Sequence[int]], num_ids: int, device: torch.device) -> torch.Tensor:
    """Which tokens each prompt holds: (P, V) bool."""
    seen_PV = torch.zeros(len(ids_PT), num_ids, dtype=torch.bool, device=device)
    for place, ids in enumerate(ids_PT):
        seen_PV[place, torch.tensor(ids, device=device)] = True
    return seen_PV


def penalised(logits_BV: torch.Tensor, seen_BV: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits, less for tokens seen before by ``Sampling.repetition_penalty`` (arXiv 1909.05858): (B, V)."""
    less_BV = torch.where(logits_BV < 0, logits_BV * penalty, logits_BV / penalty)
    return torch.where(seen_BV, less_BV, logits_BV)


def choose(logits_BV: torch.Tensor, uniform_B: torch.Tensor | None, sampling: Sampling | None) -> torch.Tensor:
    """One token per row: the most probable, or that at ``uniform_B`` of the nucleus, most probable first: (B,)."""
    if sampling is None or uniform_B is None:
        return logits_BV.argmax(-1)
    probs, order = (logits_BV.float() / sampling.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    cumulative = probs.cumsum(-1)
    # The smallest set of most probable tokens that reaches top_p: those before which top_p is not yet reached.
    last = ((cumulative - probs) < sampling.top_p).sum(-1, keepdim=True) - 1
    rank = torch.searchsorted(cumulative, uniform_B[:, None] * cumulative.gather(1, last), right=True)
    return order.gather(1, torch.minimum(rank, last))[:, 0]
