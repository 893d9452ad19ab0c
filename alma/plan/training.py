"""What one GPU holds of a training, in bytes: arithmetic over what the trainer keeps, never a measurement.

The formulas and where each comes from: docs/plan.md. Symbols: P all parameters, t those that are trained, N GPUs that
train together, L layers, h hidden, f feed-forward, k the width of a key, V vocabulary, T tokens of a forward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alma.objectives import OBJECTIVES
from alma.plan.machine import Machine
from alma.plan.shape import Shape
from alma.sections import Finetune

BUCKET = 5e8
"""Numbers of one of DeepSpeed's two buffers in which gradients are added up over GPUs (``reduce_bucket_size``)."""

LIVE = 1e9
"""Parameters that ZeRO-3 gathers at once at most (``stage3_max_live_parameters``)."""

SUB_GROUP = 1e9
"""Parameters that ZeRO-3 steps at once (``sub_group_size``)."""


@dataclass(frozen=True, slots=True)
class Training:
    """A ``finetune`` on GPUs, decided as ``alma.engines.trl.devices`` decides it."""

    cfg: Finetune
    shape: Shape
    parallel: str
    per_node: int
    nodes: int
    micro_rows: int

    @classmethod
    def of(cls, cfg: Finetune, shape: Shape, machine: Machine) -> Training:
        """The training on ``machine``, with the micro-batch that the settings ask for."""
        per_node = cfg.num_devices or (1 if cfg.parallel == "none" else machine.gpus)
        total = per_node * machine.nodes
        parallel = cfg.parallel
        if parallel == "auto":
            parallel = "none" if total == 1 else "zero2"
        elif parallel == "ddp" and total == 1:
            parallel = "none"
        rows = min(cfg.micro_batch_rows, math.ceil(cfg.batch_rows / total))
        return cls(cfg, shape, parallel, per_node, machine.nodes, rows)

    @property
    def total(self) -> int:
        """N, GPUs that train together."""
        return self.per_node * self.nodes

    @property
    def trained(self) -> float:
        """t, the parameters that are trained: all, or a low-rank adapter's."""
        return self.shape.parameters if self.cfg.adapter is None else _adapter(self.cfg, self.shape)

    @property
    def is_bfloat16(self) -> bool:
        """Whether the arithmetic is bfloat16, as it is on a GPU unless a run file says otherwise."""
        return self.cfg.dtype != "float32"

    @property
    def checkpoints(self) -> bool:
        """Whether activations are computed again; on a GPU unless a run file says otherwise."""
        return self.cfg.activation_checkpointing is not False

    @property
    def states(self) -> float:
        """Weights, gradients and Adam's two running means, and copies of them."""
        total, trained = self.shape.parameters, self.trained
        frozen = 0 if self.cfg.adapter is None else total
        weights = 4 if self.parallel in ("none", "ddp") or not self.is_bfloat16 else 2
        if self.parallel in ("none", "ddp"):
            copied = trained + (0 if self.checkpoints else frozen)
            buckets = 4 * trained if self.parallel == "ddp" else 0
            return 4 * frozen + (4 + 4 + 8) * trained + (2 * copied if self.is_bfloat16 else 0) + buckets
        kept = (4 + 8 + weights) * trained / self.total  # float32 weights, Adam, gradients
        if self.parallel == "zero2":
            return weights * (frozen + trained) + kept
        return weights * (frozen + trained) / self.total + kept

    @property
    def step(self) -> float:
        """Besides ``states``, while the optimizer steps: DeepSpeed's gradients, once more in float32."""
        if self.parallel not in ("zero2", "zero3"):
            return 0.0
        mine = self.trained / self.total
        return 4 * (min(mine, SUB_GROUP) if self.parallel == "zero3" else mine)

    @property
    def buffers(self) -> float:
        """What DeepSpeed sends and gathers through, during the forward and backward pass."""
        if self.parallel not in ("zero2", "zero3"):
            return 0.0
        width = 2 if self.is_bfloat16 else 4
        gathered = min(LIVE, self.shape.parameters) if self.parallel == "zero3" else 0
        return width * (2 * min(BUCKET, self.trained) + gathered)

    @property
    def activations(self) -> float:
        """Of one forward pass over ``micro_rows`` of the longest rows, and of its way back; an estimate."""
        shape, tokens = self.shape, self.micro_rows * self.tokens_of_row
        residual = 2 if self.is_bfloat16 and self.parallel in ("zero2", "zero3") else 4
        width = 1 if self.is_bfloat16 else 2
        layer = 2 * residual * shape.hidden + width * (26 * shape.hidden + 8 * (shape.kv_width + shape.intermediate))
        layers = shape.layers * residual * shape.hidden + 2 * layer if self.checkpoints else (shape.layers + 1) * layer
        return tokens * layers + self.head

    @property
    def head(self) -> float:
        """The output layer: its gradient in float32, or of a judge the logits at the position that is read."""
        if OBJECTIVES[self.cfg.objective].trains == "judge":
            return 12.0 * self.micro_rows * self.shape.vocab
        return 4.0 * self.shape.vocab * self.shape.hidden

    @property
    def tokens_of_row(self) -> int:
        """Tokens of the longest row that is trained on; of a pair both sides."""
        return min(self.cfg.max_tokens, self.shape.context) * OBJECTIVES[self.cfg.objective].num_sequences

    @property
    def peak(self) -> float:
        """The most that is held at once: in a forward and backward pass, or in the optimizer's step."""
        return self.states + max(self.step, self.buffers + self.activations)

    @property
    def host(self) -> float:
        """Memory of one machine, beside what its processes need anyway: each loads the weights as float32 first.

        By ZeRO-3 the first process needs the most, when it writes: what was gathered, and a float32 model.
        """
        if self.parallel == "zero3":
            return 8 * self.shape.parameters
        return 4 * self.shape.parameters * self.per_node


def _adapter(cfg: Finetune, shape: Shape) -> float:
    """Numbers of a low-rank adapter. A layer of another name than these counts as the largest of them."""
    assert cfg.adapter is not None
    linears = shape.linears
    names = list(linears) if cfg.adapter.targets == "all-linear" else cfg.adapter.targets
    largest = max(linears.values(), key=sum)
    return float(shape.layers * cfg.adapter.rank * sum(sum(linears.get(name, largest)) for name in names))
