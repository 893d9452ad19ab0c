"""Prompt templates as text files, and how they are filled.

Templates are filled by splitting, never by ``str.format``: model text may contain braces.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources

from alma.prompts.prompt import Prompt, filled, joined, quote

__all__ = [
    "CHAT_TEMPLATE",
    "JUDGE_TEMPLATE",
    "JUDGE_TEMPLATE_TOKENS",
    "RATINGS",
    "TOKEN_TEMPLATES",
    "Prompt",
    "default_chat_template",
    "filled",
    "joined",
    "judge_prefix",
    "judge_suffix",
    "quote",
]


def _load(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8").rstrip("\n")


JUDGE_TEMPLATE = _load("judge.txt")
"""The rating prompt of the paper (appendix A.2), in our words; ends where the rating's first digit begins."""

JUDGE_TEMPLATE_TOKENS = 100
"""Tokens of it, about: what ``alma plan`` counts."""

RATINGS = tuple(range(11))
"""The annotation scale of the paper (section 3.3.1): 0 unusable … 10 outstanding."""

CHAT_TEMPLATE = _load("chat.jinja")
"""Given to a base model that has no chat template of its own: turns in plain text. [ours]"""

TOKEN_TEMPLATES = {
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"): _load("headers.jinja"),
    ("<|im_start|>", "<|im_end|>"): _load("chatml.jinja"),
}
"""Given instead where a base model's vocabulary has these special tokens, Llama 3's or ChatML's, which no text can
spell. An answer ends with the tokenizer's own end token, at which generation stops. [ours]"""


def default_chat_template(special: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """The template of a base model with these special tokens that has none of its own, and those that it writes."""
    for tokens, template in TOKEN_TEMPLATES.items():
        if special and set(tokens) <= set(special):
            return template, tokens
    return CHAT_TEMPLATE, ()


def judge_prefix(template: str, prompt: str) -> Prompt:
    """The part of the rating prompt that all responses to ``prompt`` share."""
    before, _, rest = template.partition("{prompt}")
    return joined([before, quote(prompt), rest.partition("{response}")[0]])


def judge_suffix(template: str, response: str) -> Prompt:
    """What follows ``judge_prefix``: the response and the text up to the rating."""
    return joined([quote(response), template.partition("{response}")[2]])
