"""Tiny random models of several families in float32, with a token per character: what the engines are tested on.

They see about forty tokens; a wide initialisation makes their distributions uneven enough to tell rows apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

CHARACTERS = "0123456789abcdefghij qr:[]\n."
TEMPLATE = "q {prompt} a {response} r: [["
TEXTS = ["abc", "a", "hello 7 beg", "q a b r: ", "ij ij ij ij ij ij ij", "0"]
PREFIXES = ["q ab a ", "q 10 10 10 a", "q a ", "q cab a "]
SUFFIXES = [
    ["b r: [[", "b r: [[", "a long one of its own 10 r: [[", " r: [["],
    [" a b r: [[", "b r: [["],
    ["abcabc r: [["],
    [f"{'abc ' * (place % 7)}{place} r: [[" for place in range(30)],
]


def tokenizer(ten: bool) -> PreTrainedTokenizerFast:
    """One token per character; with ``ten`` also "10", "ab" and " a", so that tokens cross borders."""
    merged = ("10", "ab", " a") if ten else ()
    vocabulary = {each: place for place, each in enumerate(("<pad>", "<s>", "</s>", "<unk>", *CHARACTERS, *merged))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("|".join((*merged, r"[\s\S]"))), "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens(["<pad>", "<s>", "</s>"])
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="left",
    )


def shape(num_ids: int) -> dict[str, Any]:
    return {
        "vocab_size": num_ids,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def llama(num_ids: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **shape(num_ids)))


def mistral(num_ids: int) -> MistralForCausalLM:
    """Its attention reaches back five tokens."""
    return MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=5, **shape(num_ids)))


def gpt2(num_ids: int) -> GPT2LMHeadModel:
    """Learnt absolute positions."""
    config = GPT2Config(
        vocab_size=num_ids, n_positions=96, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3, eos_token_id=2
    )
    return GPT2LMHeadModel(config)


def saved(path: Path, make: Any, ten: bool) -> Path:
    tokens = tokenizer(ten)
    tokens.chat_template = "<s>q {{ messages[0]['content'] }} a{% if add_generation_prompt %} {% endif %}"
    torch.manual_seed(3)
    make(len(tokens)).save_pretrained(path)
    tokens.save_pretrained(path)
    return path
