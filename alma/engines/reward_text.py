"""A whole conversation as a reward model reads it: by its own chat template, what people and models wrote as text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from alma.engines.template import ANSWERED, ASKED, PROBES, Strip, check_same, render_dialogue, strip_of
from alma.errors import DataError
from alma.prompts import Prompt, joined, quote
from alma.prompts.conversation import Message, Role, exchanges

Conversation: TypeAlias = Sequence[Message]
"""All turns, the last of them the response that is judged."""

_Frame: TypeAlias = tuple[tuple[str, ...], dict[Role, Strip]]
"""What a template writes around the contents, and the white space that it takes off those of each role."""

_FRAMES: WeakKeyDictionary[Any, dict[tuple[str, tuple[Role, ...]], _Frame]] = WeakKeyDictionary()


def conversation_text(tokenizer: Any, conversation: Conversation) -> Prompt:
    """The template's own rendering, no generation prompt added, in which the contents are quotations.

    Raises ``DataError`` for a template that does not write every content as it is (white space around it aside), once,
    in its order: such a one cannot be told what is text and what is its own.
    """
    frames = _FRAMES.setdefault(tokenizer, {})
    roles = tuple(turn.role for turn in conversation)
    key = str(tokenizer.chat_template), roles
    if key not in frames:
        frames[key] = _frame(tokenizer, roles)
    return _framed(frames[key], conversation)


def check_conversation(tokenizer: Any) -> None:
    """Raises ``DataError`` where the tokenizer has no chat template, or one with which nothing can be read."""
    if not tokenizer.chat_template:
        raise DataError(
            f"{tokenizer.name_or_path} has no chat template, by which a reward model reads prompt and response; set "
            "chat_template of its section to the form that it was trained on"
        )
    conversation_text(tokenizer, exchanges(PROBES[:1]))


def _framed(frame: _Frame, conversation: Conversation) -> Prompt:
    literals, strips = frame
    contents = [quote(strips[turn.role](turn.content)) for turn in conversation]
    return joined(chain.from_iterable(zip(literals, [*contents, ""], strict=True)))


def _frame(tokenizer: Any, roles: tuple[Role, ...]) -> _Frame:
    """What stands around the contents of turns of these roles, found by probes and held against others."""
    probes = [
        Message(role, f"{ANSWERED if role == 'assistant' else ASKED}{role}n{at}n") for at, role in enumerate(roles)
    ]

    def rendered(conversation: Conversation) -> str:
        return render_dialogue(tokenizer, conversation, ask=False)

    whole = rest = rendered(probes)
    literals = []
    for role, probe in probes:
        literal, found, rest = rest.partition(probe)
        if not found or probe in rest:
            remedy = ", or leave system turns out of the evaluation prompts" if role == "system" else ""
            raise DataError(
                f"the chat template of {tokenizer.name_or_path} does not write each prompt and response once, in their "
                f"order: {whole!r}; bring the template that the reward model was trained with{remedy}"
            )
        literals.append(literal)

    def strip(at: int) -> Strip:
        def place(text: str) -> tuple[list[Message]]:
            return ([*probes[:at], probes[at]._replace(content=text), *probes[at + 1 :]],)

        return strip_of(rendered, place, whole, probes[at].content)

    strips = {role: strip(at) for role, at in {role: at for at, role in enumerate(roles)}.items()}
    frame = (*literals, rest), strips
    for exchange in PROBES:
        tried = [*probes[:-2], *exchanges([exchange])]
        check_same(repr(exchange), rendered(tried), _framed(frame, tried))
    return frame
