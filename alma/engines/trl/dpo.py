"""Direct preference optimization: ``trl.DPOTrainer`` over rows that are tokenized already."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from trl import DPOConfig, DPOTrainer

from alma.engines.dpo_reference import LOGPROBS, dpo_rows, with_logprobs
from alma.engines.protocols import Training
from alma.engines.trl.loop import Loop, arguments
from alma.engines.trl.objective import Objective, Tokens
from alma.engines.trl.turns import give_padding, stops_of
from alma.sections import Finetune


class _Dpo(Loop, DPOTrainer):  # type: ignore[misc]
    """``DPOTrainer`` in our loop. The two overrides are private there; the version of trl is pinned for their sake."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """The rows are tokenized; TRL would do it again and differently."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        """Later, by ``read_reference``: TRL would do it while it is made, before the model is proven."""
        return dataset

    def read_reference(self) -> None:
        """As TRL does it, without its cache file in the machine's temporary folder and its progress bar.

        Nothing is computed where the rows bring their log-probabilities.
        """
        dataset: Dataset = self.train_dataset  # type: ignore[has-type]  # of transformers
        if set(LOGPROBS) <= set(dataset.column_names):
            return
        chosen, rejected = [], []
        size = self.args.per_device_train_batch_size
        for batch in DataLoader(dataset, batch_size=size, collate_fn=self.data_collator):
            logprobs = self.compute_ref_log_probs(self.model, self._prepare_inputs(batch))
            chosen.append(logprobs[0].cpu())
            rejected.append(logprobs[1].cpu())
        for name, side in zip(LOGPROBS, (chosen, rejected), strict=True):
            dataset = dataset.add_column(name, torch.cat(side).tolist())
        self.train_dataset = dataset


def tokenize(cfg: Finetune, training: Training, tokenizer: Any) -> Tokens:
    """See ``dpo_rows``."""
    del cfg
    return Tokens(dpo_rows(tokenizer, stops_of(training, tokenizer), training.rows))


def trainer(cfg: Finetune, training: Training, model: Any, tokenizer: Any, rows: Dataset) -> Any:
    """The reference is the model that training starts from.

    Its log-probabilities are columns of the rows (``alma.engines.dpo_reference``). Without them they are computed
    before the first step (again after a restart: the start model is loaded first, then the checkpoint). Only one model
    is in memory.
    """
    give_padding(training, tokenizer, model)
    args = DPOConfig(
        **arguments(cfg, training, len(rows)),
        beta=cfg.beta,
        precompute_ref_log_probs=True,
        max_length=None,
        disable_dropout=False,  # the model's own is off already, and an adapter's is wanted
        router_aux_loss_coef=0.0,  # ours is alma.engines.trl.router
    )
    return _Dpo(model=model, args=args, train_dataset=Dataset.from_list(rows.to_list()), processing_class=tokenizer)


DPO = Objective(tokenize, trainer, with_logprobs)
