"""What in a chat template would make two renderings of one dialogue differ."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any


def chances(chat_template: Any) -> list[str]:
    """The words of a tokenizer's templates that draw or look at a clock, with the lines that hold them.

    ``strftime_now`` is none: it is told a fixed day.
    """
    sources = chat_template.values() if isinstance(chat_template, dict) else [chat_template]
    return sorted({each for source in sources for each in _chances(str(source))})


def _chances(source: str) -> Iterator[str]:
    from jinja2 import Environment, TemplateSyntaxError

    try:
        tokens = [token for token in Environment(autoescape=True).lex(source) if token[1] != "whitespace"]
    except TemplateSyntaxError:
        return  # whoever renders it says so
    for (_, _, before), (line, kind, word) in pairwise(tokens):
        if before == "|" and kind == "name" and word in ("random", "shuffle"):
            yield f"{word} (a filter that draws) in line {line}"
        if word == "(" and before in ("lipsum", "now"):
            yield f"{before}() in line {line}"
