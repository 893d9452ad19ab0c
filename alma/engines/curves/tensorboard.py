"""TensorBoard's files, in a folder of this machine that is no part of an artifact."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alma.engines.curves import Named, Say
from alma.errors import ConfigError
from alma.sections import Finetune

VARIABLE = "TENSORBOARD_LOGGING_DIR"
"""transformers' own name for the folder."""


class TensorBoard:
    """``alma.engines.curves.Curve``: a folder for each training, ``<folder>/<title>-<key>``.

    An attempt that goes on writes into the same one; steps that it makes again take the place of the earlier ones.
    """

    def __init__(self, cfg: Finetune, training: Named, say: Say) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "report_to = ['tensorboard'] needs the package tensorboard, which is not installed: pip install "
                "tensorboard, or leave it out"
            ) from error
        name = "/".join(re.sub(r"[^\w.-]+", "-", part).strip("-") for part in training.title.split("/"))
        folder = Path(cfg.report_folder or os.environ.get(VARIABLE) or "tensorboard") / f"{name}-{training.key[:8]}"
        say(f"report_to: TensorBoard's files are in {folder}")
        self._make, self._folder = SummaryWriter, folder
        self._writer: Any = None

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Curve``."""
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=step)
        for name, value in metrics.items():
            self._writer.add_scalar(f"training/{name}", value, step)
        self._writer.flush()

    def close(self, ended: bool) -> None:
        """See ``Curve``."""
        del ended
        if self._writer is not None:
            self._writer.close()
