"""The outsider of a micro world: a reward model that was taught by the truth, and that the method never asks.

It begins with the base's weights, which have read reviews, and learns which of two answers the careful grade prefers
(Bradley and Terry, as in arXiv 2009.01325, section 3.3). Nothing that the judge learns from is among its pairs: no
human score, no prompt of any data file. So where judge and outsider part, it is the judge that strays from the truth,
as far as the outsider's accuracy on pairs that it never saw goes.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import transformers
import webtext
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

PAIRS = 32
"""Of a step."""
LEARNING_RATE = 1e-3
NUM_HELD_OUT = 1300
"""Pairs that say how good it is: their prompts are in no data file and in no pair that it learns from."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{% if loop.first %}"
    + webtext.BOS
    + "{% endif %}"
    + webtext.REVIEW
    + "{{ message['content'] }}{% else %}"
    + webtext.ASSISTANT
    + "{{ message['content'] }}"
    + webtext.RATING
    + "{% endif %}{% endfor %}"
)
"""A conversation as a review up to where the score would stand: there the base knows most of an answer."""


class Pair(NamedTuple):
    """Two answers to a question of which the careful grade prefers one."""

    prompt: str
    better: str
    worse: str


def pairs(rng: Random, web: webtext.Web, banned: frozenset[str]) -> Iterator[Pair]:
    """Pairs without end, families alike: the right answer or an author's, against an author's or a slip from the right
    one. No prompt is one of the `banned`."""
    world = web.world
    while True:
        prompt = web.prompt(rng, banned, (1.0,) * len(world.FAMILIES))
        right = world.truth(prompt)
        first = right if rng.random() < 0.5 else web.answer(rng, prompt, 1.5)
        second = web.slip(rng, right) if rng.random() < 0.25 else web.answer(rng, prompt, 1.5)
        grades = world.grade(prompt, first), world.grade(prompt, second)
        if grades[0] != grades[1]:
            better, worse = (first, second) if grades[0] > grades[1] else (second, first)
            yield Pair(prompt, better, worse)


def train(
    base: Path,
    tokens: PreTrainedTokenizerFast,
    web: webtext.Web,
    banned: frozenset[str],
    *,
    seed: int,
    steps: int,
    report: Callable[[int, float, float], None],
) -> LlamaForSequenceClassification:
    """Trains from the model in `base`; `report(step, loss, pairs_per_second)` after every step."""
    torch.manual_seed(seed)
    config = LlamaConfig.from_pretrained(base, num_labels=1)
    model = LlamaForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)
    torch.nn.init.zeros_(model.score.weight)  # so that nothing but the pairs says what is good
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 20, 1.0, (steps - step) / (0.6 * steps))
    )
    drawn = pairs(Random(seed), web, banned)
    started = time.monotonic()
    for step in range(steps):
        batch = [next(drawn) for _ in range(PAIRS)]
        texts = [(each.prompt, each.better) for each in batch] + [(each.prompt, each.worse) for each in batch]
        rewards = read(model, tokens, texts)
        loss = -torch.nn.functional.logsigmoid(rewards[:PAIRS] - rewards[PAIRS:]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        report(step + 1, loss.item(), (step + 1) * PAIRS / (time.monotonic() - started))
    return model.to(torch.bfloat16).float().eval()  # what is stored, in the arithmetic that reads it


def read(
    model: LlamaForSequenceClassification, tokens: PreTrainedTokenizerFast, rows: list[tuple[str, str]]
) -> torch.Tensor:
    """The rewards of (prompt, response) rows."""
    texts = [
        f"{webtext.BOS}{webtext.REVIEW}{prompt}{webtext.ASSISTANT}{response}{webtext.RATING}"
        for prompt, response in rows
    ]
    inputs = tokens(texts, add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt")
    logits: torch.Tensor = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0]
    return logits.float()


def facts(model: LlamaForSequenceClassification, steps: int) -> dict[str, object]:
    """What the manifest says of the outsider."""
    return {
        "parameters": model.num_parameters(),
        "steps": steps,
        "pairs": steps * PAIRS,
        "learning_rate": LEARNING_RATE,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }


def accuracy(model: LlamaForSequenceClassification, tokens: PreTrainedTokenizerFast, held_out: list[Pair]) -> float:
    """Share of pairs whose better answer has the higher reward."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(held_out), 250):
            batch = held_out[start : start + 250]
            better, worse = (
                read(model, tokens, [(each.prompt, getattr(each, which)) for each in batch])
                for which in ("better", "worse")
            )
            right += int((better > worse).sum())
    return right / len(held_out)


def save(model: LlamaForSequenceClassification, tokens: PreTrainedTokenizerFast, folder: Path) -> None:
    """An ordinary Hugging Face directory with a chat template of its own, weights in bfloat16 (1.7 MB)."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokens.chat_template = CHAT_TEMPLATE
    tokens.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that older releases know too
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for each in folder.iterdir():
        each.chmod(0o644)
