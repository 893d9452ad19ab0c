"""Direct preference optimization: ``trl.DPOTrainer`` over rows that are tokenized already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from alma.engines.dpo_reference import LOGPROBS, dpo_rows, with_logprobs
from alma.engines.protocols import Training
from alma.engines.trl.arguments import arguments
from alma.engines.trl.batches import Batches
from alma.engines.trl.loop import Loop
from alma.engines.trl.objective import Objective, Tokens
from alma.engines.trl.start import is_exact
from alma.engines.trl.turns import give_padding, stops_of
from alma.sections import Finetune

MEANS = ("rewards/margins", "rewards/accuracies")
"""What a step reports besides its loss, as ``trl.DPOTrainer`` calls it."""


class _Alone:
    """An accelerator that gathers nothing: TRL would ask every device for as many pairs in each forward pass."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._accelerator, name)

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    gather_for_metrics = gather


class _Dpo(Loop, DPOTrainer):  # type: ignore[misc]
    """``DPOTrainer`` in our loop. Three overrides are private there; the version of trl is pinned for their sake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sums = dict.fromkeys(MEANS, 0.0)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Log-probabilities stay as they are: transformers would round them, as it does pictures, for DeepSpeed."""
        kept = {name: inputs[name].to(self.args.device) for name in LOGPROBS if name in inputs}
        prepared: dict[str, Any] = super()._prepare_inputs(inputs)
        return prepared | kept

    def _compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Adds up what the pairs of this device show; TRL's means are those of forward passes, however full."""
        with self._alone():
            loss: torch.Tensor = super()._compute_loss(*args, **kwargs)
        for name in MEANS:
            self._sums[name] += self._metrics["train"][name][-1] * self._num_rows
        return loss

    @contextmanager
    def _alone(self) -> Iterator[None]:
        accelerator = self.accelerator  # type: ignore[has-type]  # of transformers
        self.accelerator = _Alone(accelerator)
        try:
            yield
        finally:
            self.accelerator = accelerator

    def synchronise(self, stopping: bool) -> bool:
        """The step's means are those over its pairs, of all devices."""
        sums = self.accelerator.reduce(torch.tensor(list(self._sums.values()), device=self.args.device))
        for name, total in zip(MEANS, sums.tolist(), strict=True):
            self._sums[name], self._metrics["train"][name] = 0.0, [total / self._rows]
        return super().synchronise(stopping)

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """The rows are tokenized; TRL would do it again and differently."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        """Later, by ``read_reference``: TRL would do it while it is made, before the model is proven and shared."""
        return dataset

    def read_reference(self) -> None:
        """As TRL does it, but by the model as it is trained: shared, in its arithmetic, in the first epoch's batches.

        So the first step's margin is 0. What the rows bring is taken where the weights that are trained are the float32
        ones that it was read by: DeepSpeed rounds them to bfloat16 first, and flash attention computes otherwise, which
        moves every margin by more than a step of training does.
        """
        table = self.rows.table
        if set(LOGPROBS) <= set(table.column_names):
            if is_exact(self.model):
                return
            self.say(
                "the reference was read by float32 weights, and the ones that are trained compute in bfloat16: it is "
                "read again, by these, which takes a forward pass of all pairs"
            )
            table = table.remove_columns(list(LOGPROBS))
        self.model.train()  # nothing in it is random
        read = torch.zeros(len(table), 2, device=self.args.device)
        sizes = [size for step in range(self.steps.num_steps) for size in self.steps.passes_of(step)]
        for size, places in zip(sizes, Batches(self.steps, self.args.data_seed), strict=True):
            batch = self._prepare_inputs(self.data_collator([table[place] for place in places]))
            logprobs = self.compute_ref_log_probs(self.model, batch)
            if size:  # else it was for the others' sake, and one of them has read these
                read[places] = torch.stack(logprobs, dim=1).to(read)
        sides = self.accelerator.reduce(read).cpu()
        for name, side in zip(LOGPROBS, sides.unbind(1), strict=True):
            table = table.add_column(name, side.tolist())
        self.rows.table = table


def tokenize(cfg: Finetune, training: Training, tokenizer: Any) -> Tokens:
    """See ``dpo_rows``."""
    del cfg
    return Tokens(dpo_rows(tokenizer, stops_of(training, tokenizer), training.rows))


def trainer(cfg: Finetune, training: Training, model: Any, tokenizer: Any, rows: Dataset) -> Any:
    """The reference is the model that training starts from.

    Its log-probabilities are columns of the rows (``alma.engines.dpo_reference``). Without them, or where the model is
    trained in another arithmetic, they are computed before the first step (again after a restart: the start model is
    loaded first, then the checkpoint). Only one model is in memory.
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
