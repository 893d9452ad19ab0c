"""Checks what a path leads to against who speaks there, before its text is taken."""

from __future__ import annotations

import re

from alma.sources.paths import Found
from alma.sources.turns import Role, is_spelt, is_without_roles, role_of
from alma.sources.values import Fault

_TRANSCRIPT = re.compile(r"\s*Human: .*\n\nAssistant:", re.DOTALL)  # Anthropic's hh-rlhf


def check_side(side: str, wanted: Role, found: Found) -> None:
    """Raises ``Fault`` where ``found`` is a turn of another role than ``wanted``, or a conversation as one text.

    A prompt may quote a transcript, an answer is none.
    """
    if found.turns is not None:
        _check_role(side, wanted, found)
    if is_without_roles(found.value):
        raise Fault("turns without roles", f"the turns in {found.path!r} have no role, as in {{'role': 'user', …}}")
    if is_spelt(found.value):
        detail = f"{side} is a conversation written as one text; bring JSONL or Parquet with a list of turns"
        raise Fault("conversation as text", detail)
    if wanted == "assistant" and isinstance(found.value, str) and _TRANSCRIPT.match(found.value):
        detail = f"{side} is a transcript of both sides ('Human: … Assistant: …'), and not an answer alone"
        raise Fault("conversation as text", detail)


def check_follows(side: str, prompt: Found, answer: Found | None) -> None:
    """Raises ``Fault`` where both are turns of one conversation, and ``answer`` is not the one that follows."""
    if answer is None or prompt.turns is None or answer.turns is None or prompt.column != answer.column:
        return
    if answer.place != prompt.place + 1:
        detail = f"{answer.path!r} is not the turn that answers {prompt.path!r}"
        raise Fault(f"{side} by a wrong place", f"{detail}; map both to {prompt.column!r} itself")


def _check_role(side: str, wanted: Role, found: Found) -> None:
    assert found.turns is not None
    role = role_of(found.turns[found.place], found.place + 1, found.column)
    if role == wanted:
        return
    said = "has no role" if role is None else f"is the {role}'s"
    remedy = f"; map {side} to {found.column!r} itself, and it is read by role" if found.column else ""
    raise Fault(
        f"{side} by a wrong place", f"{side} = {found.path!r}, but that turn {said}, not the {wanted}'s{remedy}"
    )
