"""Why an attempt is dropped, and how alike the questions are that stay. Axes: Q new questions, K known ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from alma.sections import Imitate
from alma.stages.imitate.attempt import Answer
from alma.text.normalise import normalise
from alma.text.rouge import rouge_l_matrix, words

_BLOCK = 512
"""Questions compared at once: bounds the memory of a comparison to this many rows."""


def question_flaw(cfg: Imitate, question: str, *, ended: bool) -> str | None:
    """What is wrong with a question by itself."""
    if cfg.require_end and not ended:
        return "unfinished"
    return "short" if len(question.split()) < cfg.min_words else None


def answer_flaw(cfg: Imitate, question: str, answer: Answer) -> str | None:
    """What is wrong with an answer."""
    if cfg.require_end and not answer.ended:
        return "answer_unfinished"
    if len(answer.text.split()) < cfg.min_words:
        return "answer_short"
    return "answer_repeats" if normalise(answer.text) in normalise(question) else None


class Known:
    """Questions that new ones are compared with."""

    def __init__(self, max_rouge: float, questions: Iterable[str] = ()) -> None:
        self.max_rouge = max_rouge
        self._forms: set[str] = set()
        self._words: list[list[str]] = []
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        """Remembers a question."""
        self._forms.add(normalise(question))
        self._words.append(words(question))

    def flaws(self, questions_Q: Sequence[str]) -> list[str | None]:
        """``duplicate``, ``similar`` or ``None`` of each question."""
        found: list[str | None] = []
        for start in range(0, len(questions_Q), _BLOCK):
            block = questions_Q[start : start + _BLOCK]
            rouge_QK = rouge_l_matrix([words(question) for question in block], self._words)
            most_Q = rouge_QK.max(axis=1, initial=0.0)
            found.extend(
                "duplicate" if normalise(question) in self._forms else "similar" if most > self.max_rouge else None
                for question, most in zip(block, most_Q, strict=True)
            )
        return found

    def admit(self, questions_Q: Sequence[str]) -> list[str | None]:
        """As ``flaws``, one question after the other; one without flaw is remembered before the next is looked at."""
        found: list[str | None] = []
        for start in range(0, len(questions_Q), _BLOCK):
            block = questions_Q[start : start + _BLOCK]
            block_words = [words(question) for question in block]
            rouge_QQ = rouge_l_matrix(block_words, block_words)
            admitted: list[int] = []
            for place, (question, flaw) in enumerate(zip(block, self.flaws(block), strict=True)):
                # ``flaws`` knew what came before this block, and duplicates may have come within it.
                if normalise(question) in self._forms:
                    found.append("duplicate")
                elif flaw or rouge_QQ[place, admitted].max(initial=0.0) > self.max_rouge:
                    found.append("similar")
                else:
                    found.append(None)
                    admitted.append(place)
                    self.add(question)
        return found


def nearest_rouge(questions_Q: Sequence[str], others: Sequence[str]) -> float:
    """Mean over the questions of the ROUGE-L to the nearest of all other questions, 0..1; 0 where there is none."""
    words_K = [words(question) for question in (*questions_Q, *others)]
    most: list[float] = []
    for start in range(0, len(questions_Q), _BLOCK):
        stop = min(start + _BLOCK, len(questions_Q))
        rouge_QK = rouge_l_matrix(words_K[start:stop], words_K)
        rouge_QK[np.arange(stop - start), np.arange(start, stop)] = 0.0  # itself
        most.extend(rouge_QK.max(axis=1))
    return float(np.mean(most)) if most else 0.0


def distinct_word_share(questions: Sequence[str]) -> float:
    """Distinct words over all words of the questions, 0..1 (distinct-1, https://aclanthology.org/N16-1014)."""
    every = [word for question in questions for word in words(question)]
    return len(set(every)) / len(every) if every else 0.0
