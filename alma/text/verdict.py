"""What a model that was asked for a verdict has said: a rating in "[[7]]", a choice in "[[A]]". Never guessed.

The text is untrusted. It may quote the answer that it judges, which may hold a verdict of its own, so two different
ones are none; so is one in words, in other brackets, or outside of the scale.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, get_args

from alma.prompts.mt_bench import EXAMPLE

Choice = Literal["A", "B", "C"]
Fault = Literal["none", "several", "range", "cut", "empty", "refused"]

FAULTS: Final[dict[Fault, str]] = {
    "none": "no verdict in the form that was asked for",
    "several": "verdicts that differ",
    "range": "a rating that is not on the scale of 1 to 10",
    "cut": "cut off before its end",
    "empty": "no text at all",
    "refused": "the endpoint would not answer",
}
"""Why there is no verdict: a word → what it means."""

LEAST, MOST = 1.0, 10.0
_RATING = re.compile(r"\[\[\s*([+-]?[0-9]+(?:[.,][0-9]*)?(?:e[0-9]+)?)\s*\]\]", re.ASCII | re.IGNORECASE)
_CHOICE = re.compile(rf"\[\[\s*([{''.join(get_args(Choice))}])\s*\]\]")


class Rating(NamedTuple):
    """A grade of 1 to 10, or why there is none."""

    score: float | None
    fault: Fault | None


class Chosen(NamedTuple):
    """The better answer (``C`` for a tie), or why there is none."""

    choice: Choice | None
    fault: Fault | None


def read_rating(text: str) -> Rating:
    """The one rating of a text; said twice it is still one."""
    # A model that repeats what it was told has not rated.
    found = {_on_scale(each) for each in _RATING.findall(text.replace(EXAMPLE, ""))}
    if not found:
        return Rating(None, "none" if text.strip() else "empty")
    if len(found) > 1:
        return Rating(None, "several")
    [score] = found
    return Rating(score, "range" if score is None else None)


def _on_scale(said: str) -> float | None:
    """A number of 1 to 10 in plain digits."""
    score = float(said) if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{0,3})?", said) else None
    return score if score is not None and LEAST <= score <= MOST else None


def read_choice(text: str) -> Chosen:
    """The one choice of a text; a model that repeats all three from its prompt has made none."""
    found = set(_CHOICE.findall(text))
    if not found:
        return Chosen(None, "none" if text.strip() else "empty")
    if len(found) > 1:
        return Chosen(None, "several")
    [choice] = found
    return Chosen(choice, None)


def preference(first: Choice, swapped: Choice) -> float:
    """How far the first answer is preferred by two choices, the second with the answers in the other order.

    1 if both orders choose it, 0 if both choose the other one, and a half for a tie in either order or a choice that
    follows the place and not the answer (arXiv 2306.05685, section 3.4).
    """
    return {("A", "B"): 1.0, ("B", "A"): 0.0}.get((first, swapped), 0.5)
