"""What in a chat template would make two renderings of one dialogue differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any


def chances(chat_template: Any) -> list[str]:
    """The words of a tokenizer's templates that draw or look at a clock; ``strftime_now`` is told a fixed day."""
    sources = chat_template.values() if isinstance(chat_template, dict) else [chat_template]
    return sorted({each for source in sources for each in _chances(str(source))})


def _chances(source: str) -> Iterator[str]:
    from jinja2 import Environment, TemplateSyntaxError

    try:
        tokens = [(kind, word) for _, kind, word in Environment(autoescape=True).lex(source) if kind != "whitespace"]
    except TemplateSyntaxError:
        return  # whoever renders it says so
    for (_, before), (kind, word) in pairwise(tokens):
        if before == "|" and kind == "name" and word in ("random", "shuffle"):
            yield f"{word} (a filter that draws)"
        if word == "(" and before in ("lipsum", "now"):
            yield f"{before}()"
