"""Questions and answers as bare turns: what a model without instructions is shown, and where its text ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain

from alma.prompts import Prompt, filled, joined
from alma.prompts.prompt import SPACES
from alma.sections import Turns


def question_prompt(turns: Turns, shots: Iterable[tuple[str, str]]) -> Prompt:
    """The text after which the model writes one more question; ``shots`` are (question, answer)."""
    return _open([*_shown(turns, shots), turns.question.partition("{question}")[0]])


def answer_prompt(turns: Turns, shots: Iterable[tuple[str, str]], question: str) -> Prompt:
    """The text after which the model answers ``question``."""
    asked = filled(turns.question, "{question}", question)
    return _open([*_shown(turns, shots), asked, turns.answer.partition("{answer}")[0]])


def chat_template(turns: Turns, end: str) -> str:
    """The Jinja chat template that writes these turns, ``end`` right behind an answer (an expression, or nothing)."""
    before_question, _, after_question = turns.question.partition("{question}")
    before_answer, _, after_answer = turns.answer.partition("{answer}")
    asked = f"{_text(before_question)}{{{{ message['content'] }}}}{_text(after_question)}"
    answered = f"{_text(before_answer)}{{{{ message['content'] }}}}{end}{_text(after_answer)}"
    first = f"{{% if loop.first %}}{_text(turns.header)}{{% endif %}}" if turns.header else ""
    return (
        f"{{% for message in messages %}}{first}{{% if message['role'] == 'user' %}}{asked}{{% else %}}{answered}"
        f"{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{_text(before_answer.rstrip(SPACES))}{{% endif %}}"
    )


def _text(text: str) -> str:
    """A Jinja expression that writes exactly this."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""


def markers(turns: Turns) -> tuple[str, ...]:
    """The texts that end what the model writes: the words between questions and answers.

    They are the parts of both turns without white space around, so that a text may have several lines. Only where
    nothing but white space lies between one turn and the next does that white space end it.
    """
    before_question, _, after_question = turns.question.partition("{question}")
    before_answer, _, after_answer = turns.answer.partition("{answer}")
    found: dict[str, None] = {}
    for after, before in ((after_question, before_answer), (after_answer, before_question)):
        words = [part.strip() for part in (after, before) if part.strip()]
        found |= dict.fromkeys(words or [after + before])
    return tuple(found)


def cut(turns: Turns, text: str) -> str:
    """A model's text up to the first marker, without white space around."""
    places = [place for place in map(text.find, markers(turns)) if place >= 0]
    return text[: min(places, default=len(text))].strip()


def _shown(turns: Turns, shots: Iterable[tuple[str, str]]) -> list[str]:
    # One template after the other, for a question may contain the text "{answer}".
    filled_in = (
        (filled(turns.question, "{question}", question), filled(turns.answer, "{answer}", answer))
        for question, answer in shots
    )
    return [turns.header, *chain.from_iterable(filled_in)]


def _open(parts: Iterable[str]) -> Prompt:
    """Without the last marker's space, with which the next word begins."""
    return joined(parts).without_spaces_behind()
