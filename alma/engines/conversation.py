"""A whole conversation as a reward model reads it: by its own chat template, what people and models wrote as text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from alma.engines.template import ANSWERED, ASKED, PROBES, Strip, check_same, render_dialogue, strip_of
from alma.errors import DataError
from alma.prompts import Prompt, joined, quote

Conversation: TypeAlias = Sequence[tuple[str, str]]
"""Prompts with their responses, in order; the last response is the one that is judged."""

_Frame: TypeAlias = tuple[tuple[str, ...], Strip, Strip]
"""What a template writes around the contents, and the white space that it takes off prompts and off responses."""

_FRAMES: WeakKeyDictionary[Any, dict[tuple[str, int], _Frame]] = WeakKeyDictionary()


def conversation_text(tokenizer: Any, conversation: Conversation) -> Prompt:
    """The template's own rendering, no generation prompt added, in which the contents are quotations.

    Raises ``DataError`` for a template that does not write every content as it is (white space around it aside), once,
    in its order: such a one cannot be told what is text and what is its own.
    """
    frames = _FRAMES.setdefault(tokenizer, {})
    key = str(tokenizer.chat_template), len(conversation)
    if key not in frames:
        frames[key] = _frame(tokenizer, len(conversation))
    return _framed(frames[key], conversation)


def check_conversation(tokenizer: Any) -> None:
    """Raises ``DataError`` where the tokenizer has no chat template, or one with which nothing can be read."""
    if not tokenizer.chat_template:
        raise DataError(
            f"{tokenizer.name_or_path} has no chat template, by which a reward model reads prompt and response; set "
            "chat_template of its section to the form that it was trained on"
        )
    conversation_text(tokenizer, PROBES[:1])


def _framed(frame: _Frame, conversation: Conversation) -> Prompt:
    literals, of_prompts, of_responses = frame
    contents = [(quote(of_prompts(prompt)), quote(of_responses(response))) for prompt, response in conversation]
    parts = zip(literals, [*chain.from_iterable(contents), ""], strict=True)
    return joined(chain.from_iterable(parts))


def _frame(tokenizer: Any, num: int) -> _Frame:
    """What stands around the contents of ``num`` exchanges, found by probes and held against others."""
    probes = [(f"{ASKED}n{place}n", f"{ANSWERED}n{place}n") for place in range(num)]

    def rendered(conversation: Conversation) -> str:
        turns = [turn for asked, answered in conversation for turn in (("user", asked), ("assistant", answered))]
        return render_dialogue(tokenizer, turns, ask=False)

    whole = rest = rendered(probes)
    literals = []
    for probe in chain.from_iterable(probes):
        literal, found, rest = rest.partition(probe)
        if not found or probe in rest:
            raise DataError(
                f"the chat template of {tokenizer.name_or_path} does not write each prompt and response once, in their "
                f"order: {whole!r}; bring the template that the reward model was trained with"
            )
        literals.append(literal)
    *before, (prompt, response) = probes
    of_prompts = strip_of(rendered, lambda text: ([*before, (text, response)],), whole, prompt)
    of_responses = strip_of(rendered, lambda text: ([*before, (prompt, text)],), whole, response)
    frame = (*literals, rest), of_prompts, of_responses
    for exchange in PROBES:
        check_same(repr(exchange), rendered([*before, exchange]), _framed(frame, [*before, exchange]))
    return frame
