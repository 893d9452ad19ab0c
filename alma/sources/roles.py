"""Reads prompt and answer by who speaks, and never by place alone.

A row of ours is one exchange, a user's text and the assistant's answer to it, or a whole conversation that ends with
one. What a person maps may be a text, a conversation, or a place in one. Conversations are read by role; a place is
checked against the role that stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

from alma.prompts.conversation import Message
from alma.sources.exchange import ONE, Exchange, first_exchange, read_turns
from alma.sources.paths import Found
from alma.sources.places import check_follows, check_side
from alma.sources.row import shown
from alma.sources.turns import Turn, is_spelt, is_without_roles, listed, read_turn, role_of
from alma.sources.values import Fault, text
from alma.sources.whole import read_whole

Kind = Literal["pairs", "scores", "prompts"]
SystemTurn = Literal["keep", "prepend", "omit"]
Turns = Literal["first", "all"]

ANSWERS: Final[dict[Kind, str]] = {"pairs": "response", "scores": "response", "prompts": "reference"}
"""Our column that holds an answer to the prompt."""

CONVERSATIONS: Final = ("messages", "conversations", "conversation")
"""What data sets call the column of a whole conversation. Read where a row lacks a prompt or an answer."""

SYSTEM: Final = "system"
"""The column in which some data sets have the system turn, beside a conversation without one."""


class Sides(NamedTuple):
    """The values of a row's prompt and answer, ``None`` for one that is not there, and the turns before them."""

    prompt: Any
    answer: Any
    earlier: tuple[Message, ...] = ()


class Roles:
    """The two sides of a row of one kind, and the turns before them where ``turns`` or ``system_turn`` keep any.

    ``named`` are our columns that a person mapped. ``said`` counts rows by what a person should know of them.
    """

    def __init__(
        self, kind: Kind, named: set[str], system_turn: SystemTurn | None = None, turns: Turns = "first"
    ) -> None:
        self.answer = ANSWERS[kind]
        self.is_answered = kind != "prompts"
        self.is_scored = kind == "scores"
        self.named = named
        self._asks_system = system_turn in ("keep", "prepend")
        self.system_turn = "keep" if turns == "all" and system_turn is None else system_turn
        self.turns = turns
        self.said: Counter[str] = Counter()
        self._of_this_row: list[str] = []
        self._beside = ""
        self._system: tuple[Message, ...] = ()

    def kept(self) -> None:
        """Counts what there was to say of the row that was read last: it is a good one."""
        self.said.update(self._of_this_row)

    def fill(self, picked: dict[str, Found | None], values: Mapping[str, Any]) -> None:
        """Puts the row's conversation where ``picked`` lacks a side that nobody mapped.

        It is the conversation mapped for the other side, or else the only one in a column of ``CONVERSATIONS``.
        """
        self._of_this_row, self._system = [], ()
        beside = values.get(SYSTEM)
        self._beside = beside if isinstance(beside, str) else ""
        sides = ["prompt", self.answer] if self.is_answered else ["prompt"]
        lacking = [side for side in sides if side not in self.named and _is_null(picked[side])]
        if not lacking:
            return
        mapped = [each for side in sides if side in self.named and (each := picked[side]) and _is_talk(each.value)]
        beside = [Found(name, values[name]) for name in CONVERSATIONS if _is_talk(values.get(name))]
        there = mapped or beside
        if len(there) == 1:
            for side in lacking:
                picked[side] = there[0]
            self._say(f"{' and '.join(lacking)} read by role from the column {there[0].path!r}")

    def read(self, prompt: Found, answer: Found | None) -> Sides:
        """Both sides. Raises ``Fault`` where roles are unclear, or a conversation ends in the wrong one."""
        check_side("prompt", "user", prompt)
        if answer is not None:
            check_side(self.answer, "assistant", answer)
        asked, answered = listed(prompt.value), None if answer is None else listed(answer.value)
        if asked is None and answered is None:
            self._check_plain(prompt, answer)
        if self.turns == "all" and (asked is not None or answered is not None):
            return self._whole(prompt, answer)
        user, value = self._first(prompt, answer, asked, answered)
        return Sides(user, value, self._system)

    def _check_plain(self, prompt: Found, answer: Found | None) -> None:
        """Raises ``Fault`` where what a person asks for is about conversations, and these are texts."""
        if answer is not None and prompt.path == answer.path and prompt.value is not None:
            detail = (
                f"prompt and {self.answer} are both {prompt.path!r}, which is no conversation: {shown(prompt.value)}"
            )
            raise Fault("one text for both", f"{detail}; map {self.answer} to another column")
        if self._asks_system and self._beside.strip():
            detail = (
                f"has a system turn in the column {SYSTEM!r}, {self._beside[:40]!r}, beside a prompt that is a text"
            )
            remedy = "bring conversations (messages), or leave system_turn out, and that column is not read"
            raise Fault("system turn beside a text", f"{detail}; {remedy}")

    def _whole(self, prompt: Found, answer: Found | None) -> Sides:
        found = read_whole(prompt, answer, is_answered=self.is_answered)
        system = found.system or self._beside
        first, *others = found.messages()
        if system.strip():
            first = Message("user", self._with(system, first.content))
        if others:
            self._say(f"the conversation of {found.column!r} is kept, with the turns before the last prompt")
        *earlier, last = first, *others
        return Sides(last.content, found.answer, (*self._system, *earlier))

    def _first(
        self, prompt: Found, answer: Found | None, asked: list[Any] | None, answered: list[Any] | None
    ) -> tuple[Any, Any]:
        """The first exchange."""
        if asked is None and answered is None:
            check_follows(self.answer, prompt, answer)
            return self._before(prompt), None if answer is None else answer.value
        if asked is None:
            assert answer is not None
            return self._answer_to(prompt, answer)
        if answered is None or answer is None:
            return self._prompt_of(prompt, answer)
        if prompt.path == answer.path:
            found = self._exchange(read_turns(asked, prompt.path), prompt.path)
        else:
            found = self._joined(prompt, answer)
        return self._prompted(found, found.user.text), self._answered(found, answer.path)

    def _answer_to(self, prompt: Found, answer: Found) -> tuple[Any, Any]:
        """A text as the prompt; the conversation holds the answer alone, or the prompt too."""
        turns = read_turns(listed(answer.value) or [], answer.path)
        is_apart = prompt.turns is None or prompt.column != answer.path
        if turns[0].role == "assistant" and is_apart:
            turns = [Turn(0, "user", prompt.value), *turns]
        found = self._exchange(turns, answer.path)
        if not _is_same(found.user.text, prompt.value):
            detail = f"the user's turn in {answer.path!r} is another text than {prompt.path!r}"
            raise Fault("two prompts", detail)
        user = prompt.value if found.system else self._before(prompt)
        return self._prompted(found, user), self._answered(found, answer.path)

    def _prompt_of(self, prompt: Found, answer: Found | None) -> tuple[Any, Any]:
        """A conversation as the prompt; the answer is a text beside it, or not asked for."""
        found = self._exchange(read_turns(listed(prompt.value) or [], prompt.path), prompt.path)
        value = None if answer is None else answer.value
        if self.is_answered and found.answer is not None and not _is_same(found.answer.text, value):
            detail = f"{prompt.path!r} goes on behind the user's first turn, and with another text than {self.answer}"
            raise Fault("two answers", detail)
        return self._prompted(found, found.user.text), value

    def _joined(self, prompt: Found, answer: Found) -> Exchange:
        """Two conversations: the second goes on behind the first, or repeats it first."""
        asked = read_turns(listed(prompt.value) or [], prompt.path)
        answered = read_turns(listed(answer.value) or [], answer.path)
        opening = self._exchange(asked, prompt.path)
        if opening.answer is not None:
            detail = f"{prompt.path!r} holds earlier answers, without which {self.answer} cannot be understood"
            raise Fault("several exchanges", detail)
        if answered[0].role == "assistant":
            return self._exchange([*asked, *answered], answer.path)
        whole = self._exchange(answered, answer.path)
        if not _is_same(whole.user.text, opening.user.text):
            raise Fault("two prompts", f"the user's turn in {answer.path!r} is another text than in {prompt.path!r}")
        return whole if whole.system else replace(whole, system=opening.system)

    def _say(self, sentence: str) -> None:
        self._of_this_row.append(sentence)

    def _exchange(self, turns: list[Turn], column: str) -> Exchange:
        remedy = ONE
        if not self.is_answered:
            remedy += ', or set turns = "all", by which a model answers the first one itself'
        found = first_exchange(turns, column, remedy)
        if found.num_later and self.is_scored:
            detail = f"{column!r} has several exchanges, and which one the score is of is unclear"
            raise Fault("several exchanges", f'{detail}; set turns = "all" where it is of the last answer')
        if found.num_later:
            self._say(f"only the first exchange of {column!r} is read, and there are more")
        return found if found.system or not self._beside.strip() else replace(found, system=self._beside)

    def _prompted(self, found: Exchange, user: Any) -> Any:
        if not found.system:
            return user
        if self.system_turn is None:
            detail = (
                f"has a system turn, {found.system[:40]!r}, and nothing says what becomes of it. In the run file: "
                'system_turn = "keep" keeps it as one, "prepend" puts it before the prompt, "omit" leaves it out'
            )
            raise Fault("system turn", detail)
        return self._with(found.system, user)

    def _with(self, system: str, user: Any) -> Any:
        if self.system_turn == "keep":
            self._system = (Message("system", system),)
            return user
        if self.system_turn == "prepend":
            return f"{system}\n\n{text('prompt', user)}"
        self._say("a system turn is left out")
        return user

    def _answered(self, found: Exchange, column: str) -> Any:
        if found.answer is not None:
            return found.answer.text
        if self.is_answered:
            raise Fault("no answer", f"{column!r} has no turn of the assistant that answers the user")
        return None

    def _before(self, prompt: Found) -> Any:
        """The prompt's text with the system turns that stand before its place."""
        if not prompt.turns:
            return prompt.value
        turns = prompt.turns[: prompt.place]
        roles = [role_of(each, number, prompt.column) for number, each in enumerate(turns, start=1)]
        said = [
            read_turn(each, 1, prompt.column).text for each, role in zip(turns, roles, strict=True) if role == "system"
        ]
        system = "\n\n".join(each for each in said if isinstance(each, str) and each.strip())
        if {"user", "assistant"} & set(roles):
            self._say("turns before the prompt are left out, as columns point past them")
        return self._with(system, prompt.value) if system else prompt.value


def _is_talk(value: Any) -> bool:
    """A conversation, or what ``check_side`` will refuse as a broken one."""
    return listed(value) is not None or is_without_roles(value) or is_spelt(value)


def _is_same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, str) and isinstance(other, str) and one.strip() == other.strip())


def _is_null(found: Found | None) -> bool:
    return found is None or found.value is None
