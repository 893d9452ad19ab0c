"""What a model is asked that grades an answer, or says which of two is better: the published words of MT-Bench.

Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena" (arXiv 2306.05685), appendix A, as in FastChat's
``judge_prompts.jsonl`` (Apache-2.0, commit 0e6e7fd), whose names ``mt_bench.jsonl`` keeps. There is a prompt for each
of single answer or pair, with a reference answer or without, one turn or two. What they do not have is ours: in a
conversation of more turns "the second user question" is the last one, and a reference is of the last turn alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

EXAMPLE = 'for example: "Rating: [[5]]"'
"""Of the grading prompts: a rating in these words is the prompt's own."""

PROMPT_TOKENS = 200
"""Tokens of each of them, about: what ``alma plan`` counts."""


class Question(NamedTuple):
    """What was asked: the user's last text, what was said before it, and the right answer where there is one."""

    text: str
    reference: str | None = None
    earlier: Sequence[tuple[str, str]] = ()
    """Earlier turns, each of the user and of the assistant."""


def grading(question: Question, answer: str) -> list[dict[str, str]]:
    """The messages after which a model grades an answer of 1 to 10: "[[rating]]"."""
    return _messages("single-math-v1" if question.reference else "single-v1", question, {"": answer})


def comparison(question: Question, answer_a: str, answer_b: str) -> list[dict[str, str]]:
    """The messages after which a model says which answer is better: "[[A]]", "[[B]]", or "[[C]]" for a tie."""
    return _messages("pair-math-v1" if question.reference else "pair-v2", question, {"a": answer_a, "b": answer_b})


def _messages(name: str, question: Question, answers: Mapping[str, str]) -> list[dict[str, str]]:
    if question.earlier:
        system, user = _PUBLISHED[f"{name}-multi-turn"][0], _conversations(question, answers)
        if len(question.earlier) > 1:
            system = system.replace("the second user question", "the last user question")
            system = system.replace("the second question", "the last question")
    else:
        fields = {f"answer_{each}" if each else "answer": answer for each, answer in answers.items()}
        system, template = _PUBLISHED[name]
        user = _filled(template, {"question": question.text, "ref_answer_1": question.reference or "", **fields})
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _conversations(question: Question, answers: Mapping[str, str]) -> str:
    """What the published templates write of two turns, of any number."""

    def turns(speaker: str, last: str) -> str:
        told = [*question.earlier, (question.text, last)]
        return "".join(f"### User:\n{asked}\n\n### {speaker}:\n{said}\n\n" for asked, said in told)

    found = []
    if question.reference:
        told = turns("Reference answer", question.reference)
        found.append(f"<|The Start of Reference Answer|>\n\n{told}<|The End of Reference Answer|>")
    for letter, answer in answers.items():
        who = f"Assistant {letter.upper() or 'A'}"
        told = turns(who, answer)
        start, end = (f"<|The {edge} of {who}'s Conversation with User|>" for edge in ("Start", "End"))
        found.append(f"{start}\n\n{told}{end}")
    return "\n\n\n".join(found)


def _filled(template: str, fields: Mapping[str, str]) -> str:
    """``template`` with what stands in braces replaced, once: a text may hold braces itself."""
    pieces = re.split(r"\{(\w+)\}", template)
    return "".join(fields[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _published() -> dict[str, tuple[str, str]]:
    """Name → system prompt and template."""
    lines = resources.files(__package__).joinpath("mt_bench.jsonl").read_text(encoding="utf-8").splitlines()
    return {each["name"]: (each["system_prompt"], each["prompt_template"]) for each in map(json.loads, lines)}


_PUBLISHED = _published()
