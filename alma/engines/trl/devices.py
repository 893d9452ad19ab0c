"""How devices share a training: how many there are, of how many machines, what each holds, which kernels they run."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from transformers.utils import is_flash_attn_2_available

from alma.errors import ConfigError
from alma.nodes import COUNT, Nodes
from alma.sections import Finetune

ZERO_STAGES = {"zero2": 2, "zero3": 3}


@dataclass(frozen=True)
class Devices:
    """The devices that ``cfg`` asks for, and how they are used."""

    num_devices: int
    """Of this machine; every other one has as many."""

    num_nodes: int
    parallel: str
    liger: bool

    @classmethod
    def of(cls, cfg: Finetune) -> Self:
        """Those that a training uses. Raises ``ConfigError`` for ones that are not there, or a package that is not."""
        visible = torch.cuda.device_count()
        num_devices = cfg.num_devices or max(visible, 1)
        if visible and num_devices > visible:
            raise ConfigError(
                f"num_devices = {num_devices} and {visible} GPUs are visible; lower it or give the pod more GPUs"
            )
        if cfg.parallel == "none" and visible > 1 and cfg.num_devices is None:
            num_devices = 1
        parallel, num_nodes = cfg.parallel, Nodes.here().count
        if parallel == "none" and num_nodes > 1:
            raise ConfigError(
                f"parallel = 'none' trains on one device and there are {num_nodes} machines ({COUNT}); set parallel = "
                "'auto', or nodes = 1 in the stage's placement"
            )
        alone = num_devices * num_nodes == 1
        if parallel == "auto":
            parallel = "none" if alone else "zero2" if visible else "ddp"
        elif parallel == "ddp" and alone:
            parallel = "none"  # the same with nobody to share with
        if parallel in ZERO_STAGES:
            _need("deepspeed", f"parallel = '{parallel}'")
            if not visible:
                _need_compiler(parallel)
        if cfg.adapter:
            _need("peft", "adapter")
        if cfg.liger:
            _need("liger_kernel", "liger = true")
        liger = visible > 0 and importlib.util.find_spec("liger_kernel") is not None
        return cls(num_devices, num_nodes, parallel, liger if cfg.liger is None else cfg.liger)

    @property
    def total(self) -> int:
        """Devices of all machines together."""
        return self.num_devices * self.num_nodes

    @property
    def in_one_process(self) -> bool:
        """Whether this process trains by itself. With more GPUs in sight than one transformers would use them all."""
        return self.parallel == "none" and torch.cuda.device_count() <= 1

    @property
    def deepspeed(self) -> dict[str, Any] | None:
        """DeepSpeed's configuration; what says ``auto`` follows from ``transformers.TrainingArguments``."""
        if self.parallel not in ZERO_STAGES:
            return None
        zero: dict[str, Any] = {"stage": ZERO_STAGES[self.parallel], "overlap_comm": torch.cuda.is_available()}
        if self.parallel == "zero3":
            zero |= {
                "stage3_gather_16bit_weights_on_model_save": True,  # in whatever type they are trained in
                "stage3_prefetch_bucket_size": "auto",
                "stage3_param_persistence_threshold": "auto",
            }
        return {
            "zero_optimization": zero,
            # Each machine has a folder of its own; what they write is brought together afterwards.
            "checkpoint": {"use_node_local_storage": self.num_nodes > 1},
            "bf16": {"enabled": "auto"},
            "gradient_clipping": "auto",
            "train_batch_size": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_accumulation_steps": "auto",
            "steps_per_print": 2**62,
        }


def is_padding_free() -> bool:
    """Whether rows that are joined into one sequence cost no more than rows side by side.

    Flash attention knows where each row ends. Without it a mask says so, whose size is the square of the joined length:
    nothing for the short rows of a CPU, more than a GPU's memory for long ones.
    """
    return not torch.cuda.is_available() or is_flash_attn_2_available()


def _need(package: str, setting: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{setting} needs the package {package}, which is not installed: pip install {package}")


def _need_compiler(parallel: str) -> None:
    """DeepSpeed's processes speak through an operator of its own on a CPU, compiled when it is first needed."""
    package = Path(str(importlib.util.find_spec("deepspeed").origin)).parent  # type: ignore[union-attr]
    if not list(package.glob("ops/comm/deepspeed_shm_comm_op*.so")) and not shutil.which("g++"):
        raise ConfigError(
            f"parallel = '{parallel}' on a CPU needs g++, for an operator of DeepSpeed's that is not built here; "
            "install g++, or set parallel = 'ddp'"
        )
