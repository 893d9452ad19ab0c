"""What a model says, computed in the plainest way: transformers, one text at a time, no cache, no padding, float64.

Engines are compared with this; nothing here is imported from ``alma``. Axes: T tokens, V vocabulary, D hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CLEAR = 1e-4
"""Nats. A choice is clear where logits would have to move by more than this for another."""

CLEAR_SHARE = 1e-5
"""As ``CLEAR``, of a sum of probabilities."""

RATINGS = range(11)


@dataclass(frozen=True)
class Walk:
    """Tokens chosen one after another; the first ``num_clear`` of them hold in any order of adding up."""

    ids: list[int]
    num_clear: int
    ended: bool


class Plainly:
    """The model in a folder, and its tokenizer, which writes a token per character and markers."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self._read: dict[tuple[int, ...], torch.Tensor] = {}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """After each token: (T, V) float64. Each text is read once."""
        key = tuple(ids)
        if key not in self._read:
            with torch.inference_mode():
                self._read[key] = self.model(input_ids=torch.tensor([key]), use_cache=False).logits[0].double()
        return self._read[key]

    def logprobs(self, ids: Sequence[int]) -> torch.Tensor:
        """After each token: (T, V)."""
        return self.logits(ids).log_softmax(-1)

    def logprob(self, prompt: Sequence[int], response: Sequence[int]) -> float:
        """Of the response's tokens after the prompt, added up."""
        logprobs_TV = self.logprobs([*prompt, *response])
        return sum(float(logprobs_TV[len(prompt) + at - 1, token]) for at, token in enumerate(response))

    def mean_hidden(self, ids: Sequence[int]) -> list[float]:
        """The mean of the last hidden state over all tokens: (D,)."""
        body = self.model.model if self.model.base_model is self.model else self.model.base_model
        with torch.inference_mode():
            hidden_TD = body(input_ids=torch.tensor([list(ids)]), use_cache=False).last_hidden_state[0]
        mean: list[float] = hidden_TD.double().mean(0).tolist()
        return mean

    def rating(self, ids: Sequence[int]) -> tuple[list[float], float]:
        """p(0..10) after a text where "10" is the two tokens "1" and "0", and the mass that the scale had."""
        digits = [self.encode(str(each))[0] for each in range(10)]
        first = self.logprobs(ids)[-1].exp()
        zero = self.logprobs([*ids, digits[1]])[-1].exp()[digits[0]]
        probs = [float(first[each]) for each in digits]
        probs = [probs[0], probs[1] * float(1 - zero), *probs[2:], probs[1] * float(zero)]
        return [each / sum(probs) for each in probs], sum(probs)

    def rating_loss(self, ids: Sequence[int], target: Sequence[float]) -> float:
        """Cross-entropy of the wanted ratings with the unnormalised ones."""
        probs, mass = self.rating(ids)
        return -sum(wanted * math.log(each * mass) for wanted, each in zip(target, probs, strict=True) if wanted)

    def greedy(self, ids: Sequence[int], num: int, end: int) -> Walk:
        """The most probable token, ``num`` times or up to ``end``."""
        return self._walk(ids, num, end, lambda logits_V, _: _greatest(logits_V))

    def sampled(self, ids: Sequence[int], num: int, end: int, seed: int, temperature: float, top_p: float) -> Walk:
        """Each token from the uniform number of its step: that at which the nucleus, most probable first, is cut."""
        uniforms = np.random.Generator(np.random.PCG64(seed)).random(num, dtype=np.float32)
        return self._walk(
            ids, num, end, lambda logits_V, step: _drawn(logits_V / temperature, float(uniforms[step]), top_p)
        )

    def _walk(self, ids: Sequence[int], num: int, end: int, choose: Any) -> Walk:
        written: list[int] = []
        num_clear: int | None = None
        while len(written) < num and end not in written:
            token, clear = choose(self.logits([*ids, *written])[-1], len(written))
            if not clear and num_clear is None:
                num_clear = len(written)
            written.append(token)
        return Walk(written, len(written) if num_clear is None else num_clear, end in written)


def _greatest(logits_V: torch.Tensor) -> tuple[int, bool]:
    (first, second), (token, _) = (each.tolist() for each in logits_V.topk(2))
    return token, first - second > CLEAR


def _drawn(logits_V: torch.Tensor, uniform: float, top_p: float) -> tuple[int, bool]:
    """The token, and whether no border of the nucleus is near the number that decides."""
    probs, order = logits_V.softmax(-1).sort(descending=True, stable=True)
    kept: list[float] = []
    for each in probs.tolist():  # the smallest set of the most probable that reaches top_p
        kept.append(each)
        if sum(kept) >= top_p:
            break
    sure_size = min(abs(sum(kept) - top_p), abs(sum(kept[:-1]) - top_p)) > CLEAR_SHARE
    borders = np.cumsum(kept)
    point = uniform * borders[-1]
    place = min(int(np.searchsorted(borders, point, side="right")), len(kept) - 1)
    near = min((abs(point - each) for each in borders[:-1]), default=1.0)
    return int(order[place]), bool(near > CLEAR_SHARE) and sure_size
