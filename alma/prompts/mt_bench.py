"""What a model is asked that grades an answer, or says which of two is better: the published words of MT-Bench.

Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena" (arXiv 2306.05685), appendix A, as in FastChat's
``judge_prompts.jsonl`` (Apache-2.0, commit 0e6e7fd), whose names ``mt_bench.jsonl`` keeps. There is a prompt for each
of single answer or pair, with a reference answer or without, one turn or two. What they do not have is ours: in a
conversation of more turns "the second user question" is the last one, and a reference is of the last turn alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from alma.prompts.conversation import spoken

EXAMPLE = 'for example: "Rating: [[5]]"'
"""Of the grading prompts: a rating in these words is the prompt's own."""

PROMPT_TOKENS = 200
"""Tokens of each of them, about: what ``alma plan`` counts."""


class Talk(NamedTuple):
    """What a user said, turn by turn, and what an assistant answered to each; the last answer is judged."""

    asked: tuple[str, ...]
    answered: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Talk:
        """A row with ``prompt``, ``response`` and the turns before them, if it has any.

        The system's text stands before the user's first, with an empty line between: no published prompt has a place
        for it. [ours]
        """
        turns = spoken(row)
        system = [turn.content for turn in turns if turn.role == "system"]
        first, *others = [turn.content for turn in turns if turn.role == "user"]
        answered = tuple(turn.content for turn in turns if turn.role == "assistant")
        return cls(("\n\n".join([*system, first]), *others), answered)


def grading(talk: Talk, reference: str | None = None) -> list[dict[str, str]]:
    """The messages after which a model grades the last answer of 1 to 10: "[[rating]]"."""
    return _messages("single-math-v1" if reference else "single-v1", reference, {"": talk})


def comparison(talk_a: Talk, talk_b: Talk, reference: str | None = None) -> list[dict[str, str]]:
    """The messages after which a model says whose last answer is better: "[[A]]", "[[B]]", or "[[C]]" for a tie."""
    return _messages("pair-math-v1" if reference else "pair-v2", reference, {"a": talk_a, "b": talk_b})


def _messages(name: str, reference: str | None, talks: Mapping[str, Talk]) -> list[dict[str, str]]:
    asked = next(iter(talks.values())).asked
    if len(asked) > 1:
        system, user = _PUBLISHED[f"{name}-multi-turn"][0], _conversations(reference, talks)
        if len(asked) > 2:
            system = system.replace("the second user question", "the last user question")
            system = system.replace("the second question", "the last question")
    else:
        fields = {f"answer_{each}" if each else "answer": talk.answered[-1] for each, talk in talks.items()}
        system, template = _PUBLISHED[name]
        user = _filled(template, {"question": asked[0], "ref_answer_1": reference or "", **fields})
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _conversations(reference: str | None, talks: Mapping[str, Talk]) -> str:
    """What the published templates write of two turns, of any number."""

    def turns(speaker: str, talk: Talk) -> str:
        told = zip(talk.asked, talk.answered, strict=True)
        return "".join(f"### User:\n{asked}\n\n### {speaker}:\n{said}\n\n" for asked, said in told)

    found = []
    if reference:
        last = next(iter(talks.values())).asked[-1]
        told = turns("Reference answer", Talk((last,), (reference,)))
        found.append(f"<|The Start of Reference Answer|>\n\n{told}<|The End of Reference Answer|>")
    for letter, talk in talks.items():
        who = f"Assistant {letter.upper() or 'A'}"
        start, end = (f"<|The {edge} of {who}'s Conversation with User|>" for edge in ("Start", "End"))
        found.append(f"{start}\n\n{turns(who, talk)}{end}")
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
