"""Models for these tests: tiny random ones of several families, and checkpoints of the shipped micro model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from alma.sections import Inference, Sampling, Vllm
from tests.builders.asking import generate
from tests.builders.models import shape, tokenizer

BASE = Path(__file__).parents[3] / "examples" / "micro" / "base"
SETTINGS = Vllm(kv_cache_gib=0.1)
HF, VLLM = Inference(batch_rows=64), Inference(engine="vllm", batch_rows=64, vllm=SETTINGS)
ASKED = ["<s><list>what", "how many", "<s><list>abc\n", "2+2", "<s><user>say " + "abc " * 40 + "<assistant>"]
SAMPLING = Sampling(temperature=1.0, top_p=0.9)
MICRO_TEMPLATE = "<s><review>{prompt}<assistant>{response}<rating>"


def wide(num_ids: int) -> dict[str, Any]:
    """As of the hf tests, with heads of 32: vLLM's attention on a CPU knows no smaller ones."""
    return shape(num_ids) | {"hidden_size": 128, "intermediate_size": 128, "initializer_range": 0.15}


def llama(num_ids: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **wide(num_ids)))


def tied(num_ids: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=4, tie_word_embeddings=True, **wide(num_ids)))


def mistral(num_ids: int) -> MistralForCausalLM:
    return MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=5, **wide(num_ids)))


def gpt2(num_ids: int) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=num_ids, n_positions=96, n_embd=128, n_layer=2, n_head=4, initializer_range=0.15, eos_token_id=2
    )
    return GPT2LMHeadModel(config)


def saved(path: Path, make: Callable[[int], Any], ten: bool, seed: int = 3) -> Path:
    tokens = tokenizer(ten)
    torch.manual_seed(seed)
    make(len(tokens)).save_pretrained(path)
    tokens.save_pretrained(path)
    return path


def nudged(path: Path, seed: int, dtype: torch.dtype = torch.float32) -> Path:
    """A checkpoint as of a training that began with the micro model."""
    shutil.copytree(BASE, path)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    torch.manual_seed(seed)
    for weight in model.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    model.to(dtype).save_pretrained(path)
    return path


def greedy(engine: Any, texts: list[str], **more: Any) -> Any:
    return generate(engine, texts, [[0]] * len(texts), None, **({"max_new_tokens": 24} | more))


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    if not path.exists():
        shutil.copytree(BASE, path)
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def three(root: Path) -> list[Path]:
    """The base and two that differ from it; the last in bfloat16, as a training on a GPU leaves it."""
    return [BASE, nudged(root / "first", 1), nudged(root / "second", 2, torch.bfloat16)]
