"""Supervised fine-tuning: ``trl.SFTTrainer`` over rows that are tokenized already."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from alma.engines.protocols import Training
from alma.engines.trl.devices import is_padding_free
from alma.engines.trl.loop import Loop, arguments
from alma.sections import Finetune


class _Sft(Loop, SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` in our loop."""

    mean_of_rows = False


def trainer(cfg: Finetune, training: Training, model: Any, tokenizer: Any, rows: Dataset) -> Any:
    """The loss is the mean over all response tokens of a step.

    ``cfg.packing`` joins the rows of a forward pass into one sequence without padding, in which each row sees only
    itself (TRL's ``padding_free``). Packing across steps ("bfd") is not used: steps would then have varying numbers of
    rows, and a small set would make a few long sequences and hardly a step. So ``batch_rows`` is exact with packing as
    without, and the losses agree step by step.
    """
    common = arguments(cfg, training, len(rows))
    args = SFTConfig(
        **common,
        # One row has no padding.
        padding_free=cfg.packing and common["per_device_train_batch_size"] > 1 and is_padding_free(),
        max_length=None,  # longer rows are set aside, never cut
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return _Sft(model=model, args=args, train_dataset=rows, processing_class=tokenizer)
