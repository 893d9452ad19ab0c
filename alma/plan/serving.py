"""What one GPU holds of a model that generates or rates, in bytes: arithmetic, never a measurement.

The formulas and where each comes from: docs/plan.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from alma.plan.shape import Shape
from alma.sections import Inference, Reference, Sampling

VLLM_TOKENS = 8192
"""Tokens of one forward pass that vLLM makes room for when it starts (``max_num_batched_tokens``)."""


def width(dtype: str) -> int:
    """Bytes of a number, on a GPU."""
    return 4 if dtype == "float32" else 2


def new_tokens(cfg: Inference) -> int:
    """The longest continuation that a stage asks for; 0 where nothing is generated."""
    limits = [value.max_new_tokens for _, value in cfg if isinstance(value, Sampling)]
    return max([*limits, getattr(cfg, "max_new_tokens", 0)])


@dataclass(frozen=True, slots=True)
class Vllm:
    """One of vLLM's engines: it takes its share of the GPU when it starts, and refuses to start without room."""

    cfg: Inference
    shape: Shape
    gpu_bytes: float

    @property
    def room(self) -> float:
        """What the engine may take of each of its GPUs."""
        return self.cfg.vllm.gpu_memory_share * self.gpu_bytes

    @property
    def weights(self) -> float:
        """On each of ``tensor_parallel`` GPUs."""
        return width(self.cfg.dtype) * self.shape.parameters / self.cfg.vllm.tensor_parallel

    @property
    def run(self) -> float:
        """What the largest forward pass needs besides: hidden states, and float32 logits twice, to sample from."""
        tensor, logits = self.cfg.vllm.tensor_parallel, 8 * self.cfg.batch_rows * self.shape.vocab
        hidden = width(self.cfg.dtype) * (4 * self.shape.hidden + 2 * self.shape.intermediate / tensor)
        return VLLM_TOKENS * hidden + logits

    @property
    def kv_token(self) -> float:
        """Keys and values of one token, of all layers. A key head is on one GPU at least."""
        heads = max(1.0, self.shape.kv_heads / self.cfg.vllm.tensor_parallel)
        return 2 * self.shape.layers * heads * self.shape.head_dim * width(self.cfg.dtype)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the engine takes."""
        return min(self.cfg.vllm.max_model_len or self.shape.context, self.shape.context)

    @property
    def cache(self) -> float:
        """What is left for keys and values; below 0 where the rest has no room."""
        left = self.room - self.weights - self.run
        asked = self.cfg.vllm.kv_cache_gib
        return left if asked is None else min(left, asked * 2**30)

    @property
    def least(self) -> float:
        """What it cannot start without: room for one sequence of the longest."""
        return self.weights + self.run + self.kv_token * self.longest

    @property
    def at_once(self) -> int:
        """Sequences of the longest that the cache holds; more where they are shorter, ``batch_rows`` at most."""
        return max(0, int(self.cache // (self.kv_token * self.longest)))


@dataclass(frozen=True, slots=True)
class Hf:
    """A model of transformers on one GPU, with the keys and values of a whole batch."""

    cfg: Inference
    shape: Shape
    room: float
    """Of the GPU, in bytes."""

    prompt_tokens: int

    @property
    def weights(self) -> float:
        """All of them."""
        return width(self.cfg.dtype) * self.shape.parameters

    @property
    def row(self) -> float:
        """Keys and values of one sequence at its end, and its logits in float32 twice."""
        tokens = min(self.prompt_tokens + new_tokens(self.cfg), self.shape.context)
        return 2 * self.shape.layers * self.shape.kv_width * width(self.cfg.dtype) * tokens + 8 * self.shape.vocab

    @property
    def least(self) -> float:
        """With the batch that the settings ask for."""
        return self.weights + self.row * self.cfg.batch_rows


def reference_bytes(cfg: Reference, shape: Shape) -> float:
    """DPO's reference: float32 weights, and the logits and hidden states of one forward pass."""
    return 4 * shape.parameters + cfg.batch_tokens * (4 * shape.vocab + 8 * shape.hidden + 4 * shape.intermediate)
