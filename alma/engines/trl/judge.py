"""The judge's training: cross-entropy of the wanted ratings where the scorer reads them (``alma.engines.rating``).

Axes: B rows, T tokens, K positions that are read (one, or two where "10" is two tokens), V vocabulary, R ratings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainingArguments

from alma.engines.encoding import encode
from alma.engines.protocols import Training
from alma.engines.rating import RatingTokens
from alma.engines.tokenization import TokenRow
from alma.engines.trl.arguments import arguments
from alma.engines.trl.loop import Loop
from alma.engines.trl.objective import Objective, Tokens
from alma.errors import DataError
from alma.prompts import joined, judge_prefix, judge_suffix
from alma.sections import Finetune


def tokenize(cfg: Finetune, training: Training, tokenizer: Any) -> Tokens:
    """``input_ids`` up to where the rating is read, and what to read there: ``first`` (R), ``weight`` and ``zero``.

    Where "10" is two tokens the ids end with "1", so that the second position is there to be read. Raises ``DataError``
    for a target that is no distribution.
    """
    ratings, rows = RatingTokens.of(tokenizer, cfg.template), training.rows
    texts = [
        joined([judge_prefix(cfg.template, row["prompt"]), judge_suffix(cfg.template, row["response"])]) for row in rows
    ]
    targets = np.array([row["target"] for row in rows], dtype=np.float64)
    if not np.allclose(targets.sum(-1), 1.0, atol=1e-3) or targets.min() < 0.0:
        row = int(np.argmax(np.maximum(np.abs(targets.sum(-1) - 1.0), -targets.min(-1))))
        raise DataError(f"row {row}: target = {rows[row]['target']} is not a distribution over 0..10")
    first_BR, weight_B, zero_B = ratings.targets(targets / targets.sum(-1, keepdims=True))
    second = [] if ratings.ten is None else [ratings.ten[0]]
    made = [
        {"input_ids": ids + second, "first": first, "weight": weight, "zero": zero}
        for ids, first, weight, zero in zip(
            encode(tokenizer, texts), first_BR.tolist(), weight_B.tolist(), zero_B.tolist(), strict=True
        )
    ]
    return Tokens(list(made), len(second))


class _Rating(Trainer):  # type: ignore[misc]
    """transformers' ``Trainer`` with the rating loss."""

    ratings: RatingTokens

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> torch.Tensor:
        """The mean loss of these rows, in nats."""
        del num_items_in_batch  # of tokens
        assert not return_outputs, "there is no evaluation here"
        mask_BT = inputs["attention_mask"]
        logits_BKV = model(
            input_ids=inputs["input_ids"],
            attention_mask=mask_BT,
            position_ids=(mask_BT.cumsum(1) - 1).clamp_min(0),
            use_cache=False,
            logits_to_keep=1 if self.ratings.ten is None else 2,
        ).logits.float()
        return rating_loss(logits_BKV, inputs["first"], inputs["weight"], inputs["zero"], self.ratings).mean()


class _Judge(Loop, _Rating):
    """``_Rating`` in our loop."""


def rating_loss(
    logits_BKV: torch.Tensor,
    first_BR: torch.Tensor,
    weight_B: torch.Tensor,
    zero_B: torch.Tensor,
    ratings: RatingTokens,
) -> torch.Tensor:
    """Cross-entropy of each row's wanted ratings, (B,); the targets are those of ``RatingTokens.targets``.

    Over the whole vocabulary, so that mass on what is no rating costs too.
    """
    logprobs_BV = logits_BKV[:, 0].log_softmax(-1)
    loss_B = -(first_BR * logprobs_BV[:, list(ratings.first_ids)]).sum(-1)
    if ratings.ten is None:
        return loss_B
    zero = ratings.ten[1]
    second_BV = logits_BKV[:, 1]
    others_B = second_BV.index_fill(-1, torch.tensor([zero], device=second_BV.device), -torch.inf).logsumexp(-1)
    return loss_B + weight_B * binary_cross_entropy_with_logits(second_BV[:, zero] - others_B, zero_B, reduction="none")


def _collate(rows: list[TokenRow]) -> dict[str, torch.Tensor]:
    """Padded on the left, so that the positions to read are the last ones of every row."""
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    targets = {name: torch.tensor([row[name] for row in rows]) for name in ("first", "weight", "zero")}
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_side="left"),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True, padding_side="left"),
        **targets,
    }


def trainer(cfg: Finetune, training: Training, model: Any, tokenizer: Any, rows: Dataset) -> Any:
    """Only the vocabulary logits at the positions that are read are computed."""
    args = TrainingArguments(**arguments(cfg, training, len(rows)), remove_unused_columns=False)
    judge = _Judge(model=model, args=args, train_dataset=rows, data_collator=_collate)
    judge.ratings = RatingTokens.of(tokenizer, cfg.template)
    return judge


JUDGE = Objective(tokenize, trainer, padding="left", reads_tokens=False)
