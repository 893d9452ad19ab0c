"""One answer before a served model: what is asked about it, and what the replies come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from alma.engines.openai.chat import Reply
from alma.prompts.mt_bench import Talk, comparison, grading
from alma.text.verdict import Chosen, Fault, Rating, preference, read_choice, read_rating

VERDICT_CHARS = 10_000
"""Of what the model wrote, the last so many are kept: the verdict stands at the end."""

UNASKED = {
    "unanswered": "the prompt was too long to be answered",
    "missing": "there is no other answer to compare with",
}
"""Why a row was not asked about: a word → what it means."""


class Case(NamedTuple):
    """A row of an evaluation, and the messages of each request about it: none, one, or one for each order."""

    row: Mapping[str, Any]
    other: Mapping[str, Any] | None
    asked: Sequence[Sequence[Mapping[str, str]]]
    unasked: str | None = None
    """Why nothing is asked."""

    @classmethod
    def graded(cls, row: Mapping[str, Any]) -> Case:
        """The answer is graded by itself."""
        if not row["num_tokens"]:
            return cls(row, None, (), "unanswered")
        return cls(row, None, (grading(Talk.of(row), row["reference"]),))

    @classmethod
    def compared(cls, row: Mapping[str, Any], other: Mapping[str, Any] | None) -> Case:
        """The answer is compared with another one, in both orders (arXiv 2306.05685, section 3.4)."""
        if not row["num_tokens"] or other is None:
            return cls(row, other, (), "missing" if row["num_tokens"] else "unanswered")
        one, two, right = Talk.of(row), Talk.of(other), row["reference"]
        return cls(row, other, (comparison(one, two, right), comparison(two, one, right)))

    def read(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """The columns that follow from the replies, in the order of ``asked``."""
        columns: dict[str, Any] = {
            "num_paid_tokens": sum(each.num_tokens for each in replies),
            **{name: _end(each.text) for name, each in zip(("verdict", "other_verdict"), replies, strict=False)},
        }
        faults: list[str | None]
        if len(replies) == 1:
            grade = _rating(replies[0])
            columns["score"], faults = grade.score, [grade.fault]
        else:
            choices = [_choice(each) for each in replies]
            faults = [each.fault for each in choices]
            chosen = [each.choice for each in choices if each.choice is not None]
            if len(chosen) == 2:
                columns["preference"] = preference(chosen[0], chosen[1])
                columns["by_place"] = chosen[0] == chosen[1] != "C"
        return columns | {"fault": self.unasked or next(filter(None, faults), None)}


def _rating(reply: Reply) -> Rating:
    fault = _fault(reply)
    return Rating(None, fault) if fault else read_rating(reply.text)


def _choice(reply: Reply) -> Chosen:
    fault = _fault(reply)
    return Chosen(None, fault) if fault else read_choice(reply.text)


def _fault(reply: Reply) -> Fault | None:
    """Why there is nothing to be read; what stands in a text that was cut may be no verdict, but a quotation."""
    if reply.refused:
        return "refused"
    return None if reply.ended else "cut"


def _end(text: str) -> str:
    return text if len(text) <= VERDICT_CHARS else "…" + text[1 - VERDICT_CHARS :]
