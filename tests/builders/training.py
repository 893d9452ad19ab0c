"""A tiny random model to train, rows of every objective, and a training of them by the ``trl`` engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alma.engines import Training, load_trainer
from alma.sections import Finetune

SPECIAL = ("<pad>", "<s>", "</s>", "<user>", "<assistant>", "<rating>")
CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz .?!+\n"
CHAT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<s><user>{{ m['content'] }}"
    "{% else %}<assistant>{{ m['content'] }}</s>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEMPLATE = "<s><user>{prompt}<assistant>{response}<rating>"
PAIRS = [{"prompt": f"say {word}", "response": word * 2} for word in ("ab", "cde", "f", "ghij", "kl", "mno", "p")]
PREFERENCES = [{"prompt": row["prompt"], "chosen": row["response"], "rejected": "no"} for row in PAIRS]


def distribution(**shares: float) -> list[float]:
    return [shares.get(f"p{k}", 0.0) for k in range(11)]


TARGETS = (distribution(p10=1.0), distribution(p1=0.5, p10=0.5), distribution(p0=0.25, p1=0.75), distribution(p7=1.0))
RATED = [{"prompt": "x", "response": "abcd"[: i + 1], "target": target} for i, target in enumerate(TARGETS)]
ROWS: dict[str, list[dict[str, Any]]] = {"sft": PAIRS, "dpo": PREFERENCES, "judge": RATED}


def write_tokenizer(folder: Path, *, split: str = r"[\s\S]", extra: tuple[str, ...] = (), chat: str = CHAT) -> int:
    """A tokenizer with a token per character, and ``extra`` tokens that ``split`` keeps whole; how many it knows."""
    vocabulary = {token: place for place, token in enumerate((*SPECIAL, *CHARACTERS, *extra))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(split), "isolated")
    raw.decoder = decoders.Fuse()
    raw.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>")
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def write_model(folder: Path, *, split: str = r"[\s\S]", extra: tuple[str, ...] = (), chat: str = CHAT) -> Path:
    """A random Llama of 2 layers with the tokenizer of ``write_tokenizer``."""
    num_ids = write_tokenizer(folder, split=split, extra=extra, chat=chat)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=num_ids,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def settings(objective: str = "sft", **changes: Any) -> Finetune:
    defaults = {
        "learning_rate": 3e-3,
        "epochs": 3,
        "batch_rows": 2,
        "micro_batch_rows": 1,
        "max_tokens": 64,
        "max_bad_share": 0.0,
        "template": TEMPLATE,
    }
    return Finetune(objective=objective, **(defaults | changes))


def place(start: Path, folder: Path, rows: list[dict[str, Any]]) -> Training:
    return Training(model=start, rows=rows, out=folder / "out", scratch=folder / "scratch")


def train(cfg: Finetune, training: Training) -> dict[str, float | int]:
    return load_trainer("trl").train(cfg, training)


def curve(training: Training) -> list[dict[str, float]]:
    return [json.loads(line) for line in (training.out / "curve.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
