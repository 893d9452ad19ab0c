"""Supervised fine-tuning: ``trl.SFTTrainer`` over rows that are tokenized already."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from alma.engines.chat import Exchange
from alma.engines.learnt import Learnt, all_answers, last_answers
from alma.engines.protocols import Training
from alma.engines.tokenization import IGNORED, TokenRow
from alma.engines.trl.arguments import arguments
from alma.engines.trl.loop import Loop
from alma.engines.trl.objective import Objective, Tokens
from alma.engines.trl.turns import give_padding, stops_of
from alma.prompts.conversation import messages
from alma.sections import Finetune


class _Sft(Loop, SFTTrainer):  # type: ignore[misc]
    """``SFTTrainer`` in our loop."""

    mean_of_rows = False


def tokenize(cfg: Finetune, training: Training, tokenizer: Any) -> Tokens:
    """``input_ids`` and ``labels``: answers and their end tokens are learnt, the last or all; all else is ignored."""
    given = [Exchange(row["prompt"], row["response"], messages(row.get("earlier"))) for row in training.rows]
    stops = stops_of(training, tokenizer)
    answers = all_answers if cfg.loss_on == "all" else last_answers
    return Tokens([None if each is None else _labelled(each) for each in answers(tokenizer, given, stops)])


def _labelled(row: Learnt) -> TokenRow:
    labels = [IGNORED] * len(row.ids)
    for start, stop in row.spans:
        labels[start:stop] = row.ids[start:stop]
    return {"input_ids": row.ids, "labels": labels}


def trainer(cfg: Finetune, training: Training, model: Any, tokenizer: Any, rows: Dataset) -> Any:
    """The loss is the mean over all response tokens of a step.

    ``cfg.packing`` joins the rows of a forward pass into one sequence without padding, in which each row sees only
    itself (TRL's ``padding_free``). Packing across steps ("bfd") is not used: steps would then have varying numbers of
    rows, and a small set would make a few long sequences and hardly a step. So ``batch_rows`` is exact with packing as
    without, and the losses agree step by step.
    """
    give_padding(training, tokenizer, model)
    common = arguments(cfg, training, len(rows))
    args = SFTConfig(
        **common,
        # One row has no padding.
        padding_free=cfg.packing and common["per_device_train_batch_size"] > 1,
        max_length=None,  # longer rows are set aside, never cut
        dataset_kwargs={"skip_prepare_dataset": True},
        router_aux_loss_coef=0.0,  # ours is alma.engines.trl.router
    )
    return _Sft(model=model, args=args, train_dataset=rows, processing_class=tokenizer)


SFT = Objective(tokenize, trainer, joins_rows=True)
