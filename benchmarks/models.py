"""The two models that the benchmarks run: the micro world's base, and a larger one of random numbers.

Speed does not depend on what a model knows, but it does on how long its answers are. The random model knows many end
tokens, one in ``MEAN_TOKENS`` of its vocabulary, so that its answers are as uneven as a geometric distribution.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alma.config import load
from alma.prompts import JUDGE_TEMPLATE
from alma.sections import IngestRows

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MICRO = load(EXAMPLES / "micro.toml")
"""The micro world's settings: sampling, batches, chat and judge templates."""

VOCABULARY = 8192
MEAN_TOKENS = 20
"""Mean length of the random model's answers, were they not cut off."""

SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
WORDS = tuple(map("".join, product("bdfgklmnprstvz", "aeiou", "bdfgklmnprstvz", "aeiouy")))


def micro(folder: Path) -> Path:
    """The micro world's base with its chat template, as ``ingest`` leaves it."""
    shutil.copytree(EXAMPLES / MICRO.base.source, folder)
    (folder / "chat_template.jinja").write_text(str(MICRO.base.chat_template), encoding="utf-8")
    return folder


def random_llama(folder: Path) -> Path:
    """A Llama of 25M parameters (hidden 512, 6 layers, 8 heads, 8,192 words) that nothing was taught."""
    torch.manual_seed(1)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=1024,
        initializer_range=0.05,  # wide, so that an answer depends on what was asked
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    ends = [2, *range(VOCABULARY - VOCABULARY // MEAN_TOKENS, VOCABULARY)]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0, bos_token_id=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompts_of(cfg: IngestRows) -> list[str]:
    """The prompts of one of the micro world's files."""
    lines = (EXAMPLES / cfg.source).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prompt"] for line in lines]


def words(rng: random.Random, num: int) -> str:
    """A text of ``num`` tokens of the random model."""
    return " ".join(rng.choices(WORDS[: VOCABULARY // 2], k=num))


def letters(rng: random.Random, low: int, high: int) -> str:
    """An answer of the micro world's kind: one token a letter."""
    return "".join(rng.choices("abcdefghijkl", k=rng.randint(low, high)))


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token per word, number and mark."""
    marks = dict.fromkeys(re.findall(r"\w+|[^\w\s]+", JUDGE_TEMPLATE))
    known = dict.fromkeys([*SPECIAL.values(), *map(str, range(11)), *marks, *WORDS])
    ids = {each: place for place, each in enumerate(list(known)[:VOCABULARY])}
    raw = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL["unk_token"]))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.add_special_tokens(list(SPECIAL.values()))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, padding_side="left", **SPECIAL)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    return tokenizer
