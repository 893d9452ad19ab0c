"""What a chat template writes around the turns of a conversation, read off its rendering of probes: ``Dialogue``.

As in ``alma.engines.template``, a text is put together from what was found and never rendered with its contents, so
that no content is taken for a part of the template. Of the last prompt and its answer, all is as if they stood alone.
What a reward model reads, which ends with an answer and asks for nothing, is ``alma.engines.reward_text``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from alma.engines.template import ANSWERED, ASKED, SPACES, Strip, Template, render_dialogue
from alma.errors import DataError
from alma.prompts import Prompt, joined, quote
from alma.prompts.conversation import Message, Role

Roles = tuple[Role, ...]
"""Who speaks, turn by turn; the last is the user, who asks."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is written for turns of certain roles.

    ``literals`` stand before the contents; ``order`` says which turn's content stands behind each of them (a system
    turn may be written behind others), ``strips`` what is taken off each turn's. ``fault`` says why the conversation
    cannot be trained on, where that is so.
    """

    literals: tuple[str, ...]
    order: tuple[int, ...]
    strips: tuple[Strip, ...]
    fault: str | None = None

    @classmethod
    def of(cls, tokenizer: Any, roles: Roles) -> Dialogue:
        """Raises ``DataError`` where the template does not write turns of these roles as they are, each once."""
        source = str(tokenizer.chat_template)
        known = _KNOWN.get(tokenizer)
        if known is None or known[0] != source:
            known = _KNOWN[tokenizer] = source, {}
        if roles not in known[1]:
            known[1][roles] = _read(tokenizer, roles)
        return known[1][roles]

    def parts(self, contents: Sequence[str]) -> Iterator[Prompt]:
        """The literals and the contents, up to and with the one that stands last."""
        for literal, place in zip(self.literals, self.order, strict=True):
            yield Prompt(literal)
            yield quote(self.strips[place](contents[place]))


_KNOWN: WeakKeyDictionary[Any, tuple[str, dict[Roles, Dialogue]]] = WeakKeyDictionary()


def asking(tokenizer: Any, prompt: str, earlier: Sequence[Message] = ()) -> Prompt:
    """The text that asks for the answer to ``prompt``, behind the ``earlier`` turns of the conversation.

    It is the chat template's, generation prompt added, and with it what the template writes before every answer. A
    tokenizer without a (working) chat template, or one that does not write such turns, raises ``DataError``.
    """
    template = Template.of(tokenizer)
    if not earlier:
        return template.prompt(prompt)
    found = Dialogue.of(tokenizer, (*(turn.role for turn in earlier), "user"))
    whole = joined([*found.parts([*(turn.content for turn in earlier), prompt]), template.asking[-1]])
    alone = template.prompt(prompt)
    return Prompt(whole, whole.quoted, alone.openings, alone.endings)


def answering(tokenizer: Any, prompt: str, response: str, earlier: Sequence[Message] = ()) -> Prompt:
    """As ``asking``, with the answer and all that the template writes behind it.

    Raises ``DataError`` too for a template that cannot be trained on.
    """
    if earlier:
        fault = Dialogue.of(tokenizer, (*(turn.role for turn in earlier), "user")).fault
        if fault is not None:
            raise DataError(fault)
    return joined([asking(tokenizer, prompt, earlier), Template.of(tokenizer).answer(response)])


def _read(tokenizer: Any, roles: Roles) -> Dialogue:
    probes = [f"Qzx{role}{place}n" for place, role in enumerate(roles)]
    template = Template.of(tokenizer)
    try:
        text = _rendered(tokenizer, roles, probes)
        if "system" in roles:
            _check_told_apart(tokenizer)
        order = _order(text, roles, probes)
        literals, rest = _between(text, [probes[place] for place in order])
        if len(template.asking) > 2 or not rest.startswith(template.asked_behind):
            raise DataError(f"the chat template asks otherwise behind earlier turns: {text!r}")
        strips = _strips(tokenizer, roles, probes, order, (*literals, rest))
    except DataError as error:
        raise DataError(f"{error}; {_remedy(tokenizer, roles)}") from error
    found = Dialogue(literals, order, strips)
    expected = joined([*found.parts(probes), template.asking[-1], template.answer(ANSWERED)])
    whole = _rendered(tokenizer, (*roles, "assistant"), [*probes, ANSWERED], ask=False)
    if whole == expected:
        return found
    told = f"the chat template writes a conversation otherwise when it asks ({text!r}) than with the answer ({whole!r})"
    return Dialogue(literals, order, strips, f'{told}; read first exchanges alone, with turns = "first"')


def _rendered(tokenizer: Any, roles: Sequence[Role], contents: Sequence[str], *, ask: bool = True) -> str:
    return render_dialogue(tokenizer, list(zip(roles, contents, strict=True)), ask=ask)


def _order(text: str, roles: Roles, probes: Sequence[str]) -> tuple[int, ...]:
    """The turns as they stand in the text."""
    for role, probe in zip(roles, probes, strict=True):
        if text.count(probe) != 1:
            done = "writes a turn twice" if probe in text else f"leaves out a turn of the {role}"
            raise DataError(f"the chat template {done}: {text!r}")
    return tuple(sorted(range(len(probes)), key=lambda place: text.index(probes[place])))


def _check_told_apart(tokenizer: Any) -> None:
    """Raises ``DataError`` for a template that writes a system turn as if the user or the assistant said it.

    Templates for two roles often write whatever is not the one as the other.
    """
    system = _rendered(tokenizer, ("system", "user"), (ANSWERED, ASKED))
    for role in ("user", "assistant"):
        try:
            other = _rendered(tokenizer, (role, "user"), (ANSWERED, ASKED))
        except DataError:  # it asks for turns that alternate, and so tells them apart
            continue
        if other == system:
            raise DataError(f"the chat template writes a system turn as the {role}'s: {system!r}")


def _between(text: str, probes: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """What stands before each of the probes, and what behind the last."""
    literals = []
    for probe in probes:
        literal, _, text = text.partition(probe)
        literals.append(literal)
    return tuple(literals), text


def _strips(
    tokenizer: Any, roles: Roles, probes: Sequence[str], order: Sequence[int], texts: Sequence[str]
) -> tuple[Strip, ...]:
    """What is taken off each content; ``texts`` are the literals and what stands behind the last content."""
    left, right = [""] * len(roles), [""] * len(roles)
    shown = [probes[place] for place in order]
    for space in SPACES:
        before, last = _between(_rendered(tokenizer, roles, [space + probe for probe in probes]), shown)
        _check_same(last, (texts[-1],))
        for place, found, literal in zip(order, before, texts[:-1], strict=True):
            _check_same(found, (literal, literal + space))
            left[place] += space if found == literal else ""
        behind, last = _between(_rendered(tokenizer, roles, [probe + space for probe in probes]), shown)
        _check_same(behind[0], (texts[0],))
        for place, found, literal in zip(order, (*behind[1:], last), texts[1:], strict=True):
            _check_same(found, (literal, space + literal))
            right[place] += space if found == literal else ""
    return tuple(map(Strip, left, right))


def _check_same(found: str, expected: Sequence[str]) -> None:
    if found not in expected:
        raise DataError(
            f"the chat template changes what it writes between turns by what they hold: {found!r} for {expected[0]!r}"
        )


def _remedy(tokenizer: Any, roles: Roles) -> str:
    """What to do about a template that does not write these turns."""
    others = tuple(role for role in roles if role != "system")
    if others != roles:
        try:
            if len(others) > 1:
                Dialogue.of(tokenizer, others)
        except DataError:
            pass
        else:
            return (
                'in the section of the rows, system_turn = "prepend" writes a system turn before the first prompt, '
                '"omit" leaves it out'
            )
    return 'read first exchanges alone (turns = "first"), and show no examples as turns (in ALMA: base_shots = 0)'
