"""What is tried on a model: the same texts in several ways, against each alone and whole.

Each check returns the largest difference of a log-probability, in nats. Axes: N texts, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from alma.engines.hf.ends import beginnings, ends
from alma.engines.hf.growing import growing
from alma.engines.hf.model import LanguageModel, load_weights, positions_of
from alma.engines.ways import Ways

Ids = list[int]

_STEPS = 12
"""Tokens that are added to texts that grow."""


class Subject:
    """A model to be tried, and what it says of a text that it reads alone, whole and without a cache."""

    def __init__(self, model: Any) -> None:
        self.lm = LanguageModel(model, Ways(), torch.device("cpu"))
        self._plain: dict[tuple[int, ...], torch.Tensor] = {}

    def under(self, ways: Ways) -> LanguageModel:
        """The same model, run in these ways."""
        lm = object.__new__(LanguageModel)
        lm.__dict__ = self.lm.__dict__ | {"ways": ways}
        return lm

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Log-probabilities after each token, (T, V), computed now."""
        return logprobs(self.lm.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0])

    def plain(self, ids: Sequence[int]) -> torch.Tensor:
        """As ``read``, once per text."""
        if tuple(ids) not in self._plain:
            self._plain[tuple(ids)] = self.read(ids)
        return self._plain[tuple(ids)]

    def worst(self, texts_NT: Sequence[Ids], found_NTV: Sequence[torch.Tensor]) -> float:
        """The largest difference from ``plain``."""
        return max(difference(found, self.plain(ids)) for ids, found in zip(texts_NT, found_NTV, strict=True))


def logprobs(logits: torch.Tensor) -> torch.Tensor:
    """In float64."""
    return logits.double().log_softmax(-1)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest one; infinite where something is no number."""
    found = float((one - other).abs().max())
    return found if math.isfinite(found) else math.inf


Check = Callable[[Subject, Sequence[Ids]], float]


def twice(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """A model that keeps state from one text to the next has no answer of its own."""
    return subject.worst(texts_NT, [subject.read(ids) for ids in texts_NT])


def causal(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """What comes later must not change what a model says earlier."""
    halves = [ids[: len(ids) // 2 + 1] for ids in texts_NT]
    return subject.worst(halves, [subject.plain(ids)[: len(half)] for ids, half in zip(texts_NT, halves, strict=True)])


def right(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """Padded on the right, with the mask that trainings give and without one, as in embedding."""
    ids, mask = subject.lm.padded(texts_NT, "right")
    worst = 0.0
    for inputs in ({"attention_mask": mask}, {}):
        with subject.lm.of_lengths([len(each) for each in texts_NT]):
            found = logprobs(subject.lm.model(input_ids=ids, use_cache=False, **inputs).logits)
        worst = max(
            worst, subject.worst(texts_NT, [row[: len(each)] for row, each in zip(found, texts_NT, strict=True)])
        )
    masked = logprobs(subject.lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits)
    return max(worst, subject.worst(texts_NT, [row[: len(each)] for row, each in zip(masked, texts_NT, strict=True)]))


def left(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """Padded on the left, with positions, as the judge is trained."""
    ids, mask = subject.lm.padded(texts_NT, "left")
    found = logprobs(
        subject.lm.model(input_ids=ids, attention_mask=mask, position_ids=positions_of(mask), use_cache=False).logits
    )
    return subject.worst(texts_NT, [row[-len(each) :] for row, each in zip(found, texts_NT, strict=True)])


def packed(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """Joined into one row, told apart by positions alone."""
    ids = torch.tensor([[each for text in texts_NT for each in text]])
    positions = torch.tensor([[place for text in texts_NT for place in range(len(text))]])
    found = logprobs(subject.lm.model(input_ids=ids, position_ids=positions, use_cache=False).logits[0])
    return subject.worst(texts_NT, found.split([len(each) for each in texts_NT]))


def grown(ways: Ways) -> Check:
    """A token at a time, in these ways: prompts of several lengths if they may be padded, each with two samples.

    One batch follows another: what a model keeps of the first must not reach the second.
    """

    def check(subject: Subject, texts_NT: Sequence[Ids]) -> float:
        joined = [each for text in texts_NT for each in text]
        # A text of one token is shorter than every convolution.
        starts = [texts_NT[0][:1], *texts_NT, *(text[::-1] for text in texts_NT)]
        wholes = [(start, start + (joined * 2)[3 * at :][:_STEPS]) for at, start in enumerate(starts)]
        batches = [wholes] * 2
        if not ways.left:
            lengths = sorted({1, min(map(len, texts_NT)), max(map(len, texts_NT))}, reverse=True)
            batches = [[each for each in wholes if len(each[0]) == length] for length in lengths]
        for _, whole in wholes:  # read before anything is cached
            subject.plain(whole)
        return max(_grown(subject, subject.under(ways), batch) for batch in batches)

    return check


def _grown(subject: Subject, lm: LanguageModel, batch: Sequence[tuple[Ids, Ids]]) -> float:
    """Of prompts and what they become."""
    row_B = [place for place in range(len(batch)) for _ in range(2)]
    texts = growing(lm, [start for start, _ in batch], row_B)
    found_BV, worst = texts.start(_STEPS), 0.0
    for step in range(_STEPS + 1):
        sizes_B = [len(batch[row][0]) + step for row in row_B]
        wanted = [_after(subject, batch[row][1], size) for row, size in zip(row_B, sizes_B, strict=True)]
        worst = max(worst, difference(logprobs(found_BV), torch.stack(wanted)))
        if step == _STEPS // 2 and texts.shrink_below:
            texts.keep(torch.arange(1, len(row_B)))
            row_B = row_B[1:]
        if step < _STEPS:
            sizes_B = [len(batch[row][0]) + step for row in row_B]
            tokens = [batch[row][1][size] for row, size in zip(row_B, sizes_B, strict=True)]
            found_BV = texts.step(torch.tensor(tokens))
    return worst


def _after(subject: Subject, ids: Ids, size: int) -> torch.Tensor:
    """What is said after the first ``size`` tokens: (V,). Beyond a rotary border it follows from these alone."""
    kind, end = subject.lm.kind(size), size
    while end < len(ids) and subject.lm.kind(end + 1) == kind:
        end += 1
    return subject.plain(ids[:end])[size - 1]


def rated(ways: Ways) -> Check:
    """The ends of texts that begin alike, whose beginning is read once."""

    def check(subject: Subject, texts_NT: Sequence[Ids]) -> float:
        lm, worst = subject.under(ways), 0.0
        names = {
            (place, f"{size}"): ids[: max(len(ids) - size, 4)] + texts_NT[-1][:size]
            for place, ids in enumerate(texts_NT)
            for size in (1, 3, 6, 13)
        }
        groups = [[each] for each in beginnings(lm, names, 2)] if not ways.left else [beginnings(lm, names, 2)]
        for group in groups:
            for found, logits_BKV in ends(lm, group, 2, 64, lambda _: None):
                for name, logits_KV in zip(found, logits_BKV, strict=True):
                    worst = max(worst, difference(logprobs(logits_KV), subject.plain(names[name])[-2:]))
        return worst

    return check


def reloaded(subject: Subject, texts_NT: Sequence[Ids]) -> float:
    """Written and read again, as every training ends."""
    from transformers import AutoModelForCausalLM

    with TemporaryDirectory(prefix="alma-") as folder:
        subject.lm.model.save_pretrained(folder)
        again = Subject(
            load_weights(
                AutoModelForCausalLM, Path(folder), subject.lm.model.dtype, kind="model", remedy="take another"
            )
        )
    return subject.worst(texts_NT[:2], [again.read(ids) for ids in texts_NT[:2]])


def cached_ways(ways: Ways) -> list[Ways]:
    """Ways to let texts grow with a cache, the fastest first."""
    found = [replace(ways, cache="shared"), replace(ways, cache="own")]
    return [*found, *(replace(each, left=False) for each in found)] if ways.left else found
