"""One prompt, and one prompt with its answer, as the tokens that training and generation share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from alma.engines.chat import Exchange, Turn, render_turns
from alma.engines.dialogue import asking
from alma.engines.encoding import encode
from alma.prompts.conversation import Message


def render_prompt(tokenizer: Any, prompt: str, earlier: Sequence[Message] = ()) -> list[int]:
    """The tokens that ask for the answer to ``prompt``."""
    return encode(tokenizer, [asking(tokenizer, prompt, earlier)])[0]


def render_turn(tokenizer: Any, prompt: str, response: str, stops: Collection[int]) -> Turn | None:
    """As ``render_turns``, for one row."""
    return render_turns(tokenizer, [Exchange(prompt, response)], stops)[0]
