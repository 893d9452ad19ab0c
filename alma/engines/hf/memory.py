"""What every model of transformers does with the device's memory: where it is put, and how it is given back."""

from __future__ import annotations

import gc
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from alma.errors import ConfigError
from alma.sections import Inference


def device_here() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype_on(device: torch.device, cfg: Inference) -> torch.dtype:
    """The type of the weights, and of what is computed with them."""
    name = cfg.dtype if cfg.dtype != "auto" else ("bfloat16" if device.type == "cuda" else "float32")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


class InMemory:
    """A model and its tokenizer on a device; leave the ``with`` block and the memory is given back.

    Where the GPU has too little of it, the block ends with ``ConfigError``.
    """

    path: Path
    device: torch.device
    model: Any
    tokenizer: Any

    def batch_setting(self) -> str:
        """The setting that bounds how much is computed at once, and its value."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.model, self.tokenizer
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise ConfigError(
                f"{self.batch_setting()} does not fit into the memory of the GPU with {self.path}; lower it"
            ) from error
