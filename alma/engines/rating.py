"""Where the rating is read: which tokens spell 0..10 after the judge template, and how their probabilities add up.

Paper section 3.3.2 reads p(0..10) at one position. Where the tokenizer spells "10" with the two tokens "1" and "0",
one position is not enough: p(10) = p("1")·p("0" | "1") and p(1) = p("1")·(1 - p("0" | "1")).

Axes: R the eleven ratings; ``...`` any leading axes. No torch here: the trainer and the scorer share this arithmetic.

Not covered: a rating counts by how it begins, so "75" is read as 7; and where "10" is one token, the same text spelled
"1" then "0" is read as 1 (a tokenizer never spells it so, and a model trained on it does not either).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from alma.engines.requests import Floats
from alma.engines.tokenizer import named
from alma.errors import ConfigError
from alma.prompts import RATINGS, judge_suffix

_PROBES = ("", "x", "Yes.", "A longer answer\nof two lines")
_REMEDY = (
    "end the template with text that the tokenizer keeps apart from a digit, such as 'Rating: [[', or take a model "
    "whose tokenizer spells every digit as a token of its own"
)


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is needed here."""

    name_or_path: str

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """A mapping whose ``input_ids`` are the tokens of ``text``."""

    def decode(self, token_ids: list[int]) -> str:
        """The text of these tokens."""


@dataclass(frozen=True, slots=True)
class RatingTokens:
    """The tokens that spell the eleven ratings after one judge template.

    ``first_ids[k]`` is the first token of rating k. ``ten`` is ``None`` where "10" is one token; else it holds the ids
    of "1" and of "0", ``first_ids[10] == first_ids[1] == ten[0]``, and a second position is read, after ``ten[0]``.
    """

    first_ids: tuple[int, ...]
    ten: tuple[int, int] | None

    @classmethod
    def of(cls, tokenizer: Tokenizer, template: str) -> Self:
        """Reads them off ``tokenizer`` at the end of ``template`` (as in ``Judge.template``).

        Raises ``alma.errors.ConfigError`` where the digits have no token of their own there.
        """
        spellings = [_spelling(tokenizer, template, str(k)) for k in RATINGS]
        singles, (*ten_head, ten_last) = spellings[:10], spellings[10]
        if any(len(each) != 1 for each in singles) or len({each[0] for each in singles}) != 10:
            raise _refusal(tokenizer, template, f"0..9 are spelled {singles}, not with one token each")
        digits = tuple(each[0] for each in singles)
        if not ten_head and ten_last not in digits:
            return cls((*digits, ten_last), None)
        if ten_head == [digits[1]] and ten_last == digits[0]:
            return cls((*digits, digits[1]), (digits[1], digits[0]))
        raise _refusal(tokenizer, template, f'"10" is spelled {spellings[10]}, neither one token nor "1" and "0"')

    def probs(self, first_logprobs_R: Floats, second_logprob: Floats | None = None) -> tuple[Floats, Floats]:
        """p(0..10), and the mass that the scale had before it was renormalised: (..., 11) and (...,).

        ``first_logprobs_R`` (..., 11) are the natural log-probabilities, over the whole vocabulary, of ``first_ids`` at
        the rating's position; ``second_logprob`` (...,) that of ``ten[1]`` one position after ``ten[0]``.
        """
        probs_R = np.exp(np.asarray(first_logprobs_R, dtype=np.float64))
        if self.ten is not None:
            assert second_logprob is not None, '"10" is two tokens: the second position is needed'
            zero = np.exp(np.asarray(second_logprob, dtype=np.float64))
            one = probs_R[..., 1].copy()
            probs_R[..., 10] = one * zero
            probs_R[..., 1] = one * (1.0 - zero)
        mass = probs_R.sum(axis=-1)
        return probs_R / mass[..., None], mass

    def targets(self, probs_R: Floats) -> tuple[Floats, Floats, Floats]:
        """What to train the two positions towards so that ``probs`` gives ``probs_R``.

        Returns ``first_R`` (..., 11), the wanted distribution over ``first_ids`` (where "10" is split, its share is in
        entry 1 and entry 10 is 0); ``weight`` (...,), the share of a row's loss that the second position has; ``zero``
        (...,), the probability of ``ten[1]`` that it should give. The cross-entropy of the wanted ratings is
        ``-Σ first_R·log p(first_ids) - weight·(zero·log p₀ + (1 - zero)·log(1 - p₀))``, with p₀ = p("0" | "1").
        """
        first_R = np.array(probs_R, dtype=np.float64)
        if self.ten is None:
            return first_R, np.zeros(first_R.shape[:-1]), np.zeros(first_R.shape[:-1])
        ten = first_R[..., 10].copy()
        first_R[..., 1] += ten
        first_R[..., 10] = 0.0
        weight = first_R[..., 1].copy()
        zero = np.divide(ten, weight, out=np.zeros_like(ten), where=weight > 0)
        return first_R, weight, zero


def _spelling(tokenizer: Tokenizer, template: str, rating: str) -> list[int]:
    """The tokens that ``rating`` adds at the template's end, the same whatever the response was."""
    seen: list[list[int]] = []
    for response in _PROBES:
        text = judge_suffix(template, response)
        with named(tokenizer):
            before = list(tokenizer(text, add_special_tokens=False)["input_ids"])
            after = list(tokenizer(text + rating, add_special_tokens=False)["input_ids"])
        if after[: len(before)] != before:
            raise _refusal(tokenizer, template, f"its last tokens merge with the rating {rating}")
        seen.append(after[len(before) :])
        if tokenizer.decode(seen[-1]).strip() != rating:
            raise _refusal(tokenizer, template, f"the rating {rating} is read as {tokenizer.decode(seen[-1])!r}")
    if seen != seen[:1] * len(seen):
        raise _refusal(tokenizer, template, f"the rating {rating} is spelled differently after different responses")
    return seen[0]


def _refusal(tokenizer: Tokenizer, template: str, fault: str) -> ConfigError:
    end = judge_suffix(template, "")[-40:]
    return ConfigError(
        f"template ends with {end!r}, where the tokenizer of {tokenizer.name_or_path!r} does not let a rating be read: "
        f"{fault}; {_REMEDY}"
    )
