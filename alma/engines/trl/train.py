"""Training with TRL and transformers: ``TrlTrainer``."""

from __future__ import annotations

import os

import torch

from alma.engines.protocols import Training
from alma.sections import Finetune


class TrlTrainer:
    """``alma.engines.Trainer``: SFT and DPO by TRL, the judge by transformers' ``Trainer``.

    Weights and optimizer are float32, the arithmetic is ``cfg.dtype``; the model is written in the arithmetic's type,
    in which inference would read it. One configuration on one machine gives the same bytes, killed and resumed or not,
    on a CPU with one number of threads (a GPU's attention adds up in no fixed order). With other devices, or where a
    smaller micro-batch had to be found, it gives the same model but for the order in which numbers are added up.
    """

    def train(self, cfg: Finetune, training: Training) -> dict[str, float | int]:
        """See ``alma.engines.Trainer``. ``num_unaligned`` counts the rows that ``render_turns`` gives up.

        Raises ``DataError`` for a model that cannot be trained or asked so, ``ConfigError`` for devices that are not
        there or have too little memory, ``StageError`` if too many rows are set aside or the loss is no longer finite,
        ``Stopped``.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns when a data loader forks
        # DeepSpeed is imported by transformers where it is installed, and prints that it has looked for a GPU.
        os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
        from alma.engines.trl.trial import train

        return train(cfg, training)
