"""Weights & Biases, as its own variables say: ``WANDB_API_KEY``, ``WANDB_PROJECT``, ``WANDB_MODE``, …"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from alma.engines.curves import Named, Say, flat
from alma.errors import ConfigError
from alma.sections import Finetune

TIMEOUT_SECONDS = 30
"""How long the service may take to answer before the training goes on without."""

QUIET = {
    "console": "off",
    "silent": True,  # standard error carries alma's own events
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""Settings of wandb by which it sends nothing of its own."""


class Wandb:
    """``alma.engines.curves.Curve``: a run for each training, found again by an attempt that goes on.

    Nothing is sent but the curves and the training's settings: no source, no console, nothing of the machine.
    """

    def __init__(self, cfg: Finetune, training: Named, say: Say) -> None:
        del cfg, say
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise ConfigError(
                "report_to = ['wandb'] needs the package wandb, which is not installed: pip install wandb, or leave it "
                "out"
            ) from error
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "alma"),
            id=training.key,
            name=training.title,
            resume="allow",
            config=flat(training.settings),
            settings=wandb.Settings(init_timeout=TIMEOUT_SECONDS, **QUIET),
        )

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Curve``."""
        self._run.log({f"training/{name}": value for name, value in metrics.items()}, step=step)

    def close(self, ended: bool) -> None:
        """See ``Curve``."""
        self._run.finish(exit_code=0 if ended else 1)
