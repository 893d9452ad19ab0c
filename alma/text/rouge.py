"""ROUGE-L: how much of two texts is one sequence of words (Lin 2004, https://aclanthology.org/W04-1013).

The longest common subsequence is rapidfuzz's, exact, over words as numbers. Axes: A and B texts.

What is not covered: languages that write no spaces between words; there a sentence counts as one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from alma.statistics import Floats
from alma.text.normalise import compatible

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text: Unicode compatibility form, case folded, punctuation left out."""
    return _WORD.findall(compatible(text).casefold())


def rouge_l(a_words: Sequence[str], b_words: Sequence[str]) -> float:
    """F-measure of the longest common subsequence, 0..1: 2·LCS / (words of a + words of b); 0 where both are empty."""
    return float(rouge_l_matrix([a_words], [b_words])[0, 0])


def rouge_l_matrix(a_words_A: Sequence[Sequence[str]], b_words_B: Sequence[Sequence[str]]) -> Floats:
    """``rouge_l`` of every text of one list with every text of another: (A, B)."""
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    if not a_words_A or not b_words_B:
        return np.zeros((len(a_words_A), len(b_words_B)))
    # Words become numbers: rapidfuzz compares hashes, and of small numbers no two are alike.
    numbers: dict[str, int] = {}
    a_A, b_B = (_numbered(texts, numbers) for texts in (a_words_A, b_words_B))
    common_AB = cdist(a_A, b_B, scorer=LCSseq.similarity, dtype=np.uint32).astype(np.float64)
    sizes_AB = np.array([len(each) for each in a_A])[:, None] + np.array([len(each) for each in b_B])[None]
    f_AB: Floats = 2 * common_AB / np.maximum(sizes_AB, 1)
    return f_AB


def _numbered(texts: Iterable[Sequence[str]], numbers: dict[str, int]) -> list[list[int]]:
    return [[numbers.setdefault(word, len(numbers)) for word in text] for text in texts]
