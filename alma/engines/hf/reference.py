"""DPO's reference model with transformers: ``HfReference``.

Axes: P pairs, B rows of a batch, T tokens, N tokens that are read, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from alma.engines.dpo_reference import digest, dpo_rows
from alma.engines.hf.model import HfModel
from alma.engines.protocols import PairLogprobs
from alma.engines.requests import OnTokens
from alma.engines.tokenization import highest_id, num_tokens
from alma.engines.tokenizer import stop_ids
from alma.errors import DataError
from alma.sections import Inference, Reference

CHUNK = 1024
"""Tokens whose logits are float32 at once: 0.5 GB with a vocabulary of 128,000."""

_Side = tuple[list[int], list[int]]
"""Token ids of a prompt and of a response to it."""


class HfReference(HfModel):
    """``alma.engines.ReferenceModel`` over transformers, in the arithmetic of ``alma.engines.trl.train``.

    That is float32 weights, whose products are bfloat16 where ``dtype`` says so: a reference of bfloat16 weights would
    differ from the model that training starts from, and so the first loss from log 2. Raises ``DataError`` for a model
    without a chat template.
    """

    def __init__(self, cfg: Reference, model: Path) -> None:
        super().__init__(Inference(dtype="float32"), model)
        if not self.tokenizer.chat_template:
            raise DataError(f'{model} has no chat template; ingest it as kind = "model", which gives it one')
        self.reference = cfg
        self.stops = stop_ids(model, self.tokenizer)
        self.limit = cfg.max_tokens if self.context is None else min(cfg.max_tokens, self.context)
        self.is_bfloat16 = cfg.dtype == "bfloat16" or (cfg.dtype == "auto" and self.device.type == "cuda")

    def batch_setting(self) -> str:
        """See ``InMemory``."""
        return f"batch_tokens = {self.reference.batch_tokens}"

    def read(
        self, pairs_P: Sequence[Mapping[str, Any]], *, on_tokens: OnTokens = lambda _: None
    ) -> list[PairLogprobs | None]:
        """See ``alma.engines.ReferenceModel``."""
        rows_P = [
            row if row is not None and num_tokens(row) <= self.limit else None
            for row in dpo_rows(self.tokenizer, self.stops, pairs_P)
        ]
        kept = [row for row in rows_P if row is not None]
        highest = max(map(highest_id, kept), default=0)
        if highest >= self.num_ids:
            raise DataError(
                f"the tokenizer of {self.path} writes token {highest} and the model knows {self.num_ids} tokens; "
                "resize the model's embeddings or bring the tokenizer that it was trained with"
            )
        sides = [(row["prompt_ids"], row[name]) for row in kept for name in ("chosen_ids", "rejected_ids")]
        logprobs = self._logprobs(sides, on_tokens)
        found = (
            PairLogprobs(chosen, rejected, digest(row))
            for row, chosen, rejected in zip(kept, logprobs[::2], logprobs[1::2], strict=True)
        )
        return [None if row is None else next(found) for row in rows_P]

    def _logprobs(self, sides: Sequence[_Side], on_tokens: OnTokens) -> list[float]:
        """The log-probability of each response."""
        logprobs = [0.0] * len(sides)
        batch_tokens = self.reference.batch_tokens if self.ways.right else 1  # a row that is longer goes alone
        for places in batches([len(prompt) + len(response) for prompt, response in sides], batch_tokens):
            batch = [sides[place] for place in places]
            with torch.inference_mode():
                for place, logprob in zip(places, self._batch(batch), strict=True):
                    logprobs[place] = logprob
            on_tokens(sum(len(prompt) + len(response) for prompt, response in batch))
        return logprobs

    def _batch(self, sides: Sequence[_Side]) -> list[float]:
        ids_BT, mask_BT = self.padded([prompt + response for prompt, response in sides], "right")
        rows_N = torch.tensor([row for row, (_, response) in enumerate(sides) for _ in response], device=self.device)
        places_N = torch.tensor(
            [len(prompt) + offset for prompt, response in sides for offset in range(len(response))], device=self.device
        )

        with (
            self.read_at(rows_N, places_N - 1),
            self.of_lengths([len(prompt) + len(response) for prompt, response in sides]),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_bfloat16),
        ):
            logits_NV = self.model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits[0]
        wanted_N = ids_BT[rows_N, places_N]
        logprobs_N = torch.cat(
            [
                logits.float().log_softmax(-1).gather(1, wanted[:, None])[:, 0]
                for logits, wanted in zip(logits_NV.split(CHUNK), wanted_N.split(CHUNK), strict=True)
            ]
        )
        totals_B = torch.zeros(len(sides), device=self.device).index_add_(0, rows_N, logprobs_N)
        totals: list[float] = totals_B.tolist()
        return totals


def batches(sizes: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places in batches of like sizes that take at most ``batch_tokens`` with padding, or hold one; longest first."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda each: -sizes[each]):
        if batch and (len(batch) + 1) * sizes[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
