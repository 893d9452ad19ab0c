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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from alma.sections import Likeness
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
    """A set of prompts, and which of them a text gives away. Places are those in the given order."""

    def __init__(self, prompts: Sequence[str], cfg: Likeness) -> None:
        self._forms = [normalise(text) for text in prompts]
        self._exact = _places((place, (form,)) for place, form in enumerate(self._forms))
        self._threshold = None if cfg.near_duplicate == "off" else cfg.near_duplicate
        self._rare = {} if self._threshold is None else _rare_grams(self._forms, self._threshold)
        self._num_words = cfg.ngram_words
        self._share = None if cfg.ngram_share == "off" else cfg.ngram_share
        grams = [] if self._share is None else [self._word_grams(text) for text in prompts]
        self._nums_grams = [len(each) for each in grams]
        self._word_places = _places(enumerate(grams))

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

    def _nearly(self, form: str) -> Iterator[int]:
        if self._threshold is None:
            return
        grams = set(char_grams(form))
        for place in {place for gram in grams for place in self._rare.get(gram, ())}:
            others = set(char_grams(self._forms[place]))
            common = len(grams & others)
            if common >= self._threshold * (len(grams) + len(others) - common):
                yield place

    def _with_ngrams(self, text: str) -> Iterator[int]:
        if self._share is None:
            return
        common = Counter(place for gram in self._word_grams(text) for place in self._word_places.get(gram, ()))
        for place, num in common.items():
            if num >= self._share * self._nums_grams[place]:
                yield place

    def _word_grams(self, text: str) -> set[str]:
        given = words(text)
        return {" ".join(given[i : i + self._num_words]) for i in range(len(given) - self._num_words + 1)}


def _places(texts: Iterable[tuple[int, Iterable[str]]]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for place, several in texts:
        for text in several:
            found[text].append(place)
    return dict(found)


def _rare_grams(forms: Sequence[str], threshold: float) -> dict[str, list[int]]:
    """Of each text as many of its rarest grams as no text that is near it can lack: where to look for near ones.

    A text at Jaccard t shares at least t of its grams, so it has one of any 1 - t of them and one more (prefix
    filtering, Bayardo and others 2007, https://doi.org/10.1145/1242572.1242591).
    """
    counts = Counter(gram for form in forms for gram in set(char_grams(form)))

    def rarest(form: str) -> list[str]:
        grams = sorted(set(char_grams(form)), key=lambda gram: (counts[gram], gram))
        return grams[: len(grams) - math.ceil(threshold * len(grams)) + 1]

    return _places((place, rarest(form)) for place, form in enumerate(forms))
