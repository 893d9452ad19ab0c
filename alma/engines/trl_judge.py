"""The judge's training: cross-entropy of the wanted ratings where the scorer reads them (``alma.engines.rating``).

Axes: B rows, T tokens, K positions that are read (one, or two where "10" is two tokens), V vocabulary, R ratings.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence
from transformers import TrainingArguments

from alma.engines import Training
from alma.engines.rating import RatingTokens
from alma.engines.tokenization import TokenRow
from alma.engines.trl_loop import Loop, arguments
from alma.sections import Finetune


class _Judge(Loop):
    """transformers' ``Trainer`` with the rating loss."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the rows of the whole step

    def __init__(self, ratings: RatingTokens, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ratings = ratings

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device) -> int:
        del device
        return sum(len(batch["input_ids"]) for batch in batch_samples)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> torch.Tensor:
        """The loss of these rows' share of the step, in nats per row."""
        assert num_items_in_batch is not None
        assert not return_outputs, "there is no evaluation here"
        mask_BT = inputs["attention_mask"]
        logits_BKV = model(
            input_ids=inputs["input_ids"],
            attention_mask=mask_BT,
            position_ids=(mask_BT.cumsum(1) - 1).clamp_min(0),
            use_cache=False,
            logits_to_keep=1 if self.ratings.ten is None else 2,
        ).logits.float()
        loss_B = rating_loss(logits_BKV, inputs["first"], inputs["weight"], inputs["zero"], self.ratings)
        return loss_B.sum() / num_items_in_batch


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


def trainer(cfg: Finetune, training: Training, model: Any, ratings: RatingTokens, rows: list[TokenRow]) -> Any:
    """Only the vocabulary logits at the positions that are read are computed."""
    args = TrainingArguments(**arguments(cfg, training, len(rows)), remove_unused_columns=False)
    return _Judge(ratings, model=model, args=args, train_dataset=rows, data_collator=_collate)
