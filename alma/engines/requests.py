"""What engines are asked and what they answer, as values.

Axes: P prompts, N samples or responses of one prompt, R the eleven ratings, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from alma.prompts import RATINGS, joined
from alma.sections import Sampling

Floats = npt.NDArray[np.float64]

OnTokens: TypeAlias = Callable[[int], None]
"""Hears of tokens as they are computed, a few at a time; what it raises ends the work."""

AnswerT_co = TypeVar("AnswerT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    ``num_tokens`` counts the tokens that were generated, the end token included; ``ended`` says whether the end token
    or a stop text came before the limit. ``text`` holds neither.
    """

    text: str
    num_tokens: int
    ended: bool


TOO_LONG = Completion(text="", num_tokens=0, ended=False)
"""Of a text that leaves no room in the context. Whatever was generated has at least one token."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One number of an exam.

    ``error`` is its standard error, where the exam states one; ``num`` the questions that it is of; ``metric`` names a
    filter of the answers behind a comma, where there is one (``exact_match,strict-match``).
    """

    task: str
    metric: str
    value: float
    error: float | None
    num: int
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Continues each text once per seed; answered by the completions (P, N).

    ``sampling=None`` is greedy (then each text has one seed, which is not used). A sample depends on its text, its seed
    and the model only: not on order, neighbours or sharding. A special token inside a continuation, or its spelling,
    cuts it there, unended: model text is put into later prompts. A stop text ends it as an end token does:
    the next turn has begun. A text that leaves no room in the context is answered by ``TOO_LONG``. An empty stop text
    raises ``alma.errors.ConfigError``.
    """

    texts_P: Sequence[str]
    seeds_PN: Sequence[Sequence[int]]
    sampling: Sampling | None
    max_new_tokens: int
    stop: Sequence[str] = ()

    def __len__(self) -> int:
        """Samples."""
        return sum(map(len, self.seeds_PN))

    def split(self, size: int) -> Iterator[GenerateRequest]:  # noqa: ARG002 - a prompt's samples share its computation
        """Requests of one prompt each."""
        for text, seeds in zip(self.texts_P, self.seeds_PN, strict=True):
            yield GenerateRequest([text], [seeds], self.sampling, self.max_new_tokens, self.stop)

    def join(self, answers: Sequence[list[list[Completion]]]) -> list[list[Completion]]:
        """The answer, from those of ``split``."""
        return [each for answer in answers for each in answer]


@dataclass(frozen=True, slots=True)
class Rating:
    """What the judge says of one response: ``probs_R`` sums to 1; ``mass`` is what the scale had before that.

    ``mass`` is 0 (and ``probs_R`` uniform) for a rating prompt that is too long to read.
    """

    probs_R: tuple[float, ...]
    mass: float


UNREADABLE = Rating(probs_R=(1 / len(RATINGS),) * len(RATINGS), mass=0.0)
"""Of a rating prompt that is too long to read."""

Rated: TypeAlias = tuple[int, str]
"""What is rated: the place of a prefix, and the suffix that follows it."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Rates ``prefix + suffix`` for every suffix of every prefix; answered by the ratings (P, N).

    One of more than ``max_tokens`` tokens is answered by ``UNREADABLE``. A prefix is computed once per prompt.
    """

    prefixes_P: Sequence[str]
    suffixes_PN: Sequence[Sequence[str]]
    max_tokens: int

    def __len__(self) -> int:
        """Responses."""
        return sum(map(len, self.suffixes_PN))

    def distinct(self) -> dict[Rated, str]:
        """What is to be rated, equal responses of a prompt once, and the whole text of each.

        Whole texts are tokenized: prefix and suffix apart would give other tokens than the judge was trained on
        wherever a token crosses their border.
        """
        return {
            (place, suffix): joined([prefix, suffix])
            for place, (prefix, suffixes) in enumerate(zip(self.prefixes_P, self.suffixes_PN, strict=True))
            for suffix in suffixes
        }

    def answer(self, ratings: Mapping[Rated, Rating]) -> list[list[Rating]]:
        """The answer, from the ratings of what is ``distinct``; those that are missing are ``UNREADABLE``."""
        return [
            [ratings.get((place, suffix), UNREADABLE) for suffix in suffixes]
            for place, suffixes in enumerate(self.suffixes_PN)
        ]

    def split(self, size: int) -> Iterator[ScoreRequest]:  # noqa: ARG002 - as of GenerateRequest
        """Requests of one prompt each."""
        for prefix, suffixes in zip(self.prefixes_P, self.suffixes_PN, strict=True):
            yield ScoreRequest([prefix], [suffixes], self.max_tokens)

    def join(self, answers: Sequence[list[list[Rating]]]) -> list[list[Rating]]:
        """The answer, from those of ``split``."""
        return [each for answer in answers for each in answer]


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Embeds each text; answered by the vectors (P, D), float64, not yet normalised.

    The spelling of a special token in a text is text. A vector is the mean of the last hidden layer over the text's
    first ``max_tokens`` tokens, or what the model itself makes of them where it was trained to embed. Of the engines
    only ``vllm`` counts its tokens.
    """

    texts_P: Sequence[str]
    max_tokens: int

    def __len__(self) -> int:
        """Texts."""
        return len(self.texts_P)

    def split(self, size: int) -> Iterator[EmbedRequest]:
        """Requests of at most ``size`` texts."""
        for start in range(0, len(self.texts_P), size):
            yield EmbedRequest(self.texts_P[start : start + size], self.max_tokens)

    def join(self, answers: Sequence[Floats]) -> Floats:
        """The answer, from those of ``split``."""
        joined: Floats = np.concatenate(answers)
        return joined


Request: TypeAlias = GenerateRequest | ScoreRequest | EmbedRequest


class Answered(NamedTuple, Generic[AnswerT_co]):
    """A request that is whole.

    ``num_tokens`` are those that it takes, the same in every run: what a cache happened to spare is not taken off.
    """

    place: int
    """How many requests came before it."""

    answer: AnswerT_co
    num_rows: int
    num_tokens: int
