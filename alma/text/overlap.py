"""Prompts that are in two sets that should share none: word for word, nearly, or in great part.

``exact``   equal once case, white space and Unicode forms are set aside
``near``    Jaccard similarity of their character 5-grams: the pool's own measure of near duplicates, here computed
            exactly, since one of the sets is small
``ngrams``  the words of one stand in the other: a share of its word n-grams. GPT-3 looked for single common n-grams of
            8 to 13 words (arXiv 2005.14165, appendix C), PaLM for 70% of a prompt's 8-grams (arXiv 2204.02311, section
            8). A share lets a common phrase pass. Prompts of fewer words than an n-gram are too short to say anything
            so ("what is the capital of" is in many), and for them ``near`` is the sharper measure.

What is not covered: a translation, or the same request in other words.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from alma.sections import Likeness
from alma.text.common import Common
from alma.text.normalise import normalise
from alma.text.rouge import words

KINDS = ("exact", "near", "ngrams")
"""From the surest to the least sure."""


def overlap_metric(other: str, kind: str) -> str:
    """The name of the metric that counts what one set has in common with the set ``other``."""
    return f"num_{other}_{kind}"


def char_grams(form: str, length: int = 5) -> Iterator[str]:
    """The character n-grams of a normalised text; a shorter text is one of its own."""
    if len(form) <= length:
        yield form
        return
    for start in range(len(form) - length + 1):
        yield form[start : start + length]


class Known:
    """A set of prompts, and which of them a text gives away. Places are those in the given order.

    Exactly those of the definitions above, and without a look at each pair: ``alma.text.common`` says why. ``pause``
    is called before each prompt is read, and may raise.
    """

    def __init__(self, prompts: Sequence[str], cfg: Likeness, pause: Callable[[], object] = lambda: None) -> None:
        def each() -> Iterator[str]:
            for text in prompts:
                pause()
                yield text

        self._exact = _places(map(normalise, each()))
        self._threshold = None if cfg.near_duplicate == "off" else cfg.near_duplicate
        self._share = None if cfg.ngram_share == "off" else cfg.ngram_share
        self._num_words = cfg.ngram_words
        if self._threshold is not None:
            self._chars = Common((set(char_grams(normalise(text))) for text in each()), self._threshold)
        if self._share is not None:
            self._words = Common((set(self._word_grams(text)) for text in each()), self._share)

    def matches(self, text: str) -> dict[int, str]:
        """Place → kind of every known prompt that ``text`` gives away, the surest kind of each."""
        form = normalise(text)
        found = dict.fromkeys(self._with_ngrams(text), "ngrams")
        found |= dict.fromkeys(self._nearly(form), "near")
        return found | dict.fromkeys(self._exact.get(form, ()), "exact")

    def kind(self, text: str) -> str | None:
        """The surest kind of all matches; ``None`` where there is none."""
        found = set(self.matches(text).values())
        return next((kind for kind in KINDS if kind in found), None)

    def _nearly(self, form: str) -> list[int]:
        if self._threshold is None:
            return []
        grams: set[str] = set()
        rest, largest = char_grams(form), int(self._chars.nums_P.max(initial=0))
        while piece := set(islice(rest, PIECE_GRAMS)):
            grams |= piece
            if largest < self._threshold * len(grams):  # too many for any, whatever else there is
                return []
        places, common = self._chars.of(grams, math.ceil(self._threshold * len(grams)))
        all_grams = len(grams) + self._chars.nums_P[places] - common
        found: list[int] = places[common >= self._threshold * all_grams].tolist()
        return found

    def _with_ngrams(self, text: str) -> list[int]:
        if self._share is None:
            return []
        places, common = self._words.of(self._word_grams(text))
        found: list[int] = places[common >= self._share * self._words.nums_P[places]].tolist()
        return found

    def _word_grams(self, text: str) -> Iterator[str]:
        given = words(text)
        return (" ".join(given[i : i + self._num_words]) for i in range(len(given) - self._num_words + 1))


PIECE_GRAMS = 2**16
"""Of a text, between two looks at whether it has too many: a text of 64 MiB is not cut up whole for that."""


def _places(texts: Iterable[str]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        found[text].append(place)
    return dict(found)
