"""What a chat template writes around a prompt and its answer, read off its renderings of probes: ``Template``.

Templates write more than markers: an empty thinking block before every answer (Qwen 3), a channel's name (gpt-oss), a
space; some take white space off what they are given. A prompt and an answer are put together from what was found, so
that no text is taken for a part of the template, and so that training and generation meet at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any
from weakref import WeakKeyDictionary

from alma.engines.encoding import encode
from alma.engines.renderer import render_messages
from alma.engines.tokenizer import special_texts
from alma.errors import DataError
from alma.prompts import Prompt, joined, quote
from alma.prompts.markers import last_line

ASKED, ANSWERED, GOES_ON = "Qzxprompt7", "Vkjanswer7", "Wqyprompt8"
"""Contents that no template holds: a prompt, its answer, and the prompt after that."""

PROBES = (
    ("Hello.", "Yes."),
    ("1 + 1?", "2"),
    ("A question\nof two lines", "An answer\n\nof two parts"),
    ("<b>{{ x }}</b> {% y %} & 'a' \"b\" \\n", "`code` [1](2) <i>é漢🙂</i> {z} $x_1$"),
    ("- a\n  - b\n\n\n# c  d", "```py\nx = 1\n```\n\n1. (a)\n\t2. b"),
)
"""Prompts and answers that every template has to write as they are."""

_BEGINNINGS = tuple(("a", f"{chr(code)}a") for code in range(33, 127))
"""An answer for every character of ASCII that is seen."""

SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""All white space of Unicode."""

Render = Callable[[str, str | None], str]
"""The template's own rendering of a prompt with its answer, or up to where the answer begins."""


@dataclass(frozen=True, slots=True)
class Strip:
    """White space that a template takes off a text: the characters at its beginning and at its end."""

    left: str = ""
    right: str = ""

    def __call__(self, text: str) -> str:
        """The text without it."""
        return text.lstrip(self.left).rstrip(self.right)


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template, as far as it is needed for a prompt and one answer.

    ``asking`` are the parts between which the prompt stands (more than two where it is written twice), the last one up
    to where generation begins. ``opening`` is what the template writes between its generation prompt and the answer:
    its first ``num_given`` characters are part of ``asking``, so that a model need not write them; the rest stands
    within a token with the answer's beginning, is learnt, and is taken off what is generated. ``closing`` is all that
    follows the answer; ``endings``, the longest first, are what may stand between the answer and an end token.
    ``left_out`` is the end of the template's generation prompt, where its own turns do not have that.
    """

    asking: tuple[str, ...]
    prompt_strip: Strip
    answer_strip: Strip = Strip()
    opening: str = ""
    num_given: int = 0
    endings: tuple[str, ...] = ()
    closing: str = ""
    left_out: str = ""
    renews: bool = False
    """Whether the template takes ``opening`` off an answer that begins with it, and writes it again."""

    turns: tuple[str, ...] = ()
    """What it writes around contents: behind an answer, before that, and before the first prompt, of it the last line.
    Without what it writes into answers (``opening``)."""

    fault: str | None = None
    """Why no answers can be put together with their prompts, where that is so."""

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        """The template of a tokenizer. Raises ``DataError`` for one that cannot render or changes its prompts."""
        source = str(tokenizer.chat_template)
        known = _KNOWN.get(tokenizer)
        if known is None or known[0] != source:
            known = _KNOWN[tokenizer] = source, _read(tokenizer)
        return known[1]

    def prompt(self, prompt: str) -> Prompt:
        """The text that asks for the answer to ``prompt``."""
        content = quote(self.prompt_strip(prompt))
        before, *others = self.asking
        text = joined([before, *(part for after in others for part in (content, after))])
        openings = [each for each in (self.opening, self.opening[self.num_given :]) if each]
        return Prompt(text, text.quoted, dict.fromkeys(openings), self.endings)

    def turn(self, prompt: str, response: str) -> Prompt:
        """The text of the prompt and its answer, as the template itself writes them.

        Raises ``DataError`` for a template with a ``fault``.
        """
        return joined([self.prompt(prompt), self.answer(response)])

    def answer(self, response: str) -> Prompt:
        """What follows the text that asks: an answer, and what is written behind it. Raises as ``turn`` does."""
        if self.fault is not None:
            raise DataError(self.fault)
        own = response.removeprefix(self.opening) if self.renews else response
        return joined([self.opening[self.num_given :], quote(self.answer_strip(own)), self.closing])

    @property
    def asked_behind(self) -> str:
        """What the template itself writes behind a prompt where it asks, as far as it is the same in its own turns."""
        behind = self.asking[-1]
        return behind[: len(behind) - self.num_given]


_KNOWN: WeakKeyDictionary[Any, tuple[str, Template]] = WeakKeyDictionary()


def render(tokenizer: Any, prompt: str, response: str | None) -> str:
    """The template's own rendering, generation prompt added where there is no response."""
    answer = [] if response is None else [("assistant", response)]
    return render_dialogue(tokenizer, [("user", prompt), *answer], ask=response is None)


def render_dialogue(tokenizer: Any, turns: Sequence[tuple[str, str]], *, ask: bool) -> str:
    """The template's rendering of (role, content), its generation prompt added where it is to ``ask``.

    No clock is read: a template that asks for the time is told ``TEMPLATE_DATE``. One that cannot render, or not within
    bounds (``alma.engines.renderer``), raises ``DataError``.
    """
    return render_messages(tokenizer, [{"role": role, "content": content} for role, content in turns], ask=ask)


def _read(tokenizer: Any) -> Template:
    def rendered(prompt: str, response: str | None) -> str:
        return render(tokenizer, prompt, response)

    asked = rendered(ASKED, None)
    if ASKED not in asked:
        raise DataError(f"the chat template leaves the prompt out: {asked!r}; write message['content']")
    strip = strip_of(rendered, lambda text: (text, None), asked, ASKED)
    asking = Template(asking=tuple(asked.split(ASKED)), prompt_strip=strip)
    for prompt, _ in PROBES:
        check_same(repr(prompt), rendered(prompt, None), asking.prompt(prompt))
    try:
        return _answering(tokenizer, rendered, asking, asked)
    except DataError as error:  # it can be asked, and not trained on: ingest refuses it, and Template.turn
        return replace(asking, fault=str(error))


def _answering(tokenizer: Any, rendered: Render, asking: Template, asked: str) -> Template:
    whole = rendered(ASKED, ANSWERED)
    if ANSWERED not in whole:
        raise DataError("the chat template leaves the assistant's content out; write message['content']")
    before, *closing = whole.split(ANSWERED)
    *parts, between = asking.asking
    *same, opened = before.split(ASKED)
    if len(closing) > 1 or ASKED in closing[0]:
        raise DataError(f"the chat template writes a text again behind the answer: {whole!r}; write each once")
    common = _common(between, opened)
    opening, left_out = opened[len(common) :], between[len(common) :]
    if parts != same or (opening and left_out.strip()):
        raise DataError(_not_the_beginning(asked, whole))
    template = replace(
        asking,
        asking=(*parts, common),
        opening=opening,
        endings=_endings(closing[0], special_texts(tokenizer)),
        closing=closing[0],
        left_out=left_out,
        turns=(_behind(tokenizer, closing[0]), common, *parts[1:], last_line(parts[0])),
        answer_strip=strip_of(rendered, lambda text: (ASKED, text), whole, ANSWERED),
    )
    template = replace(template, renews=_renews(rendered, template, whole))
    for prompt, response in PROBES:
        check_same(f"{prompt!r} and {response!r}", rendered(prompt, response), template.turn(prompt, response))
    return _meet(tokenizer, template)


def _meet(tokenizer: Any, template: Template) -> Template:
    """With as much of the opening given as ends at a border of tokens, whatever the answer begins with.

    A space may stand within a token with what follows it: then it is not given, if that holds of every probe.
    """
    asking = template.asking
    candidates = [
        replace(template, asking=(*asking[:-1], asking[-1] + template.opening[:num_given]), num_given=num_given)
        for num_given in range(len(template.opening), -1, -1)
    ]
    for probes in ((*PROBES, *_BEGINNINGS), PROBES):  # some beginnings merge with any prompt: such rows are set aside
        for given in candidates:
            asked = encode(tokenizer, [given.prompt(prompt) for prompt, _ in probes])
            whole = encode(tokenizer, [given.turn(prompt, response) for prompt, response in probes])
            if all(ids[: len(start)] == start for start, ids in zip(asked, whole, strict=True)):
                return given
    prompt, response = PROBES[0]
    raise DataError(_not_the_beginning(template.prompt(prompt), template.turn(prompt, response)))


def strip_of(rendered: Callable[..., str], place: Callable[[str], tuple[Any, ...]], whole: str, probe: str) -> Strip:
    """What is taken off the text at ``place``; ``whole`` is what is rendered with ``probe`` there."""
    left = right = ""
    for space in SPACES:
        found = rendered(*place(f"{space}{probe}{space}"))
        written = {
            whole.replace(probe, f"{before}{probe}{behind}"): (not before, not behind)
            for before in (space, "")
            for behind in (space, "")
        }
        if found not in written:
            check_same(repr(f"{space}{probe}{space}"), found, next(iter(written)))
        off_left, off_right = written[found]
        left += space if off_left else ""
        right += space if off_right else ""
    return Strip(left, right)


def _renews(rendered: Render, template: Template, whole: str) -> bool:
    """Whether an answer that begins with the opening is written as without it."""
    if not template.opening.strip():
        return False
    try:
        return rendered(ASKED, template.opening + ANSWERED) == whole
    except DataError:  # gpt-oss' refuses an answer that spells its channels
        return False


def _behind(tokenizer: Any, closing: str) -> str:
    """What stands between an answer and the next prompt; the closing, where the template renders one turn only."""
    messages = [("user", ASKED), ("assistant", ANSWERED), ("user", GOES_ON)]
    try:
        text = render_dialogue(tokenizer, messages, ask=False)
    except DataError:
        return closing
    behind, found, _ = text.partition(ANSWERED)[2].partition(GOES_ON)
    return behind if found else closing


def _common(one: str, other: str) -> str:
    """The text with which both begin."""
    return "".join(ours for ours, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _endings(closing: str, special: Collection[str]) -> tuple[str, ...]:
    """The parts of the closing that stand before a special token in it."""
    places = range(len(closing) - 1, 0, -1)
    return tuple(closing[:place] for place in places if closing.startswith(tuple(special), place))


def check_same(given: str, found: str, expected: str) -> None:
    """Raises ``DataError`` where a rendering of ``given`` is another one than what follows from other texts."""
    if found != expected:
        raise DataError(
            "the chat template changes what it is given, or what it writes around it, otherwise than by taking white "
            f"space off: of {given} it makes {found!r}, where {str(expected)!r} follows from other texts; write "
            "message['content'] as it is"
        )


def _not_the_beginning(asked: str, whole: str) -> str:
    return (
        "the chat template's generation prompt is not the beginning of the assistant's turn: it is "
        f"{str(asked)!r}, the whole {str(whole)!r}; change chat_template so that both begin the same way and end the "
        "generation prompt at a token's border"
    )
