"""Reading the states that a trainer left, without running what a file may hold: torch's weights-only loader for all.

transformers asks for it itself. DeepSpeed does not, and unpickles its shards; torch is told to overrule that. Beside
tensors and plain containers, only DeepSpeed's own records of plain data may lie there: another class is refused.

What is not covered: a file that is right in form and holds other numbers. ``alma.artifact.checkpoints`` compares files
with the hashes that are stated of them.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from alma.errors import IntegrityError

VARIABLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Overrules ``weights_only=False``: https://docs.pytorch.org/docs/stable/notes/serialization.html, torch.load."""


@contextmanager
def safe_loading() -> Iterator[None]:
    """Within it torch loads nothing that could run code. Raises ``IntegrityError`` for a file that holds such."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        with torch.serialization.safe_globals(_records()):
            yield
    except pickle.UnpicklingError as error:
        raise IntegrityError(
            f"a file of the checkpoint holds what none of a training's does: {str(error).splitlines()[0]}; if nobody "
            "has altered it, remove the checkpoints to begin anew"
        ) from error
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _records() -> list[Any]:
    """The classes of DeepSpeed's checkpoints, where a training uses it."""
    if "deepspeed" not in sys.modules:
        return []
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]
