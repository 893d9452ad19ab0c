"""ISARA: a model writes questions and answers after samples of its own domain (arXiv 2401.06785).

[C] is read in the authors' public code; where it and the paper are silent, the choice is [ours].
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alma.sections.inference import Sampling
from alma.sections.judge import Scoring
from alma.sections.section import QUIET, Fraction, Positive, Samples, Section

MOST_ATTEMPTS = 10**7
"""Of an iteration: they are in memory together, and each question is compared with all others."""


class Turns(Section):
    """How questions and answers are written one after another: bare turns, no instruction. [C]"""

    header: str = ""
    """Text before the first turn. [C: none]"""

    question: str = "### Human: {question}\n"
    """A question's turn; a new one is asked for with what comes before ``{question}``. [ours: the markers]"""

    answer: str = "### Assistant: {answer}\n"
    """An answer's turn, as ``question``."""

    @model_validator(mode="after")
    def _parts(self) -> Turns:
        for name in ("question", "answer"):
            turn = getattr(self, name)
            if turn.count(f"{{{name}}}") != 1:
                raise ValueError(f"turns.{name} must contain {{{name}}} exactly once; it is {turn!r}")
        after_question = self.question.partition("{question}")[2] + self.answer.partition("{answer}")[0]
        after_answer = self.answer.partition("{answer}")[2] + self.question.partition("{question}")[0]
        for name, after in (("question", after_question), ("answer", after_answer)):
            if not after:
                raise ValueError(
                    f"nothing in turns ends {'a' if name == 'question' else 'an'} {name}; add a line break"
                )
        return self


class Imitate(Scoring):
    """One iteration of ISARA: new questions after random shots, answers after the nearest ones, filters.

    The authors sample with five beams; that is not offered: vLLM has no such search, and beams make samples alike where
    the method lives on their being different (docs/isara.md has what else is left out). Of the judge's settings nothing
    is read unless ``num_answers`` > 1.
    """

    turns: Turns = Turns()
    """How shots are written."""

    num_attempts: Annotated[Positive, Field(le=MOST_ATTEMPTS)] = 512
    """Questions asked for per iteration, before the filters. [C]"""

    num_shots: Positive = 8
    """Shots of every prompt: one from each earlier iteration, the rest from the seeds. [C]"""

    retrieval: Literal["nearest", "random"] = "nearest"
    """Shots of an answer: those whose questions are nearest by embedding [C], or random ones."""

    answer_order: Annotated[Literal["nearest_last", "nearest_first"], QUIET] = "nearest_last"
    """Order of an answer's nearest shots. Last is what a model heeds most. [ours]"""

    embedding: Literal["model", "sentence-transformers"] = "model"
    """What embeds questions: hidden states (of the port ``embedder``, else of the model itself) [ours; C: an external
    service], or a sentence-transformers model at the port ``embedder``."""

    embedding_tokens: Positive = 512
    """Only the first this many tokens of a question are embedded. [ours]"""

    questions: Literal["new", "same"] = "new"
    """``same`` answers the previous iteration's questions again instead of writing new ones; iteration 1 writes."""

    duplicates: Literal["pool", "shots"] = "pool"
    """What a new question is compared with: seeds and everything kept so far [ours], or its own shots [C]. In either
    case it may not equal one that this iteration keeps already. [C]"""

    max_rouge: Fraction = 0.7
    """Largest ROUGE-L of a new question with one that it is compared with. [C]"""

    min_words: Positive = 5
    """Fewest words of a question and of an answer. [C]"""

    require_end: bool = True
    """Drop what the token limit cut off: trained on, it would teach to stop in mid-sentence. [ours]"""

    question_sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=200, repetition_penalty=1.05)
    """200 new tokens and the penalty [C]; temperature and nucleus [ours]."""

    answer_sampling: Sampling = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=100, repetition_penalty=1.2)
    """100 new tokens and the penalty [C]; temperature and nucleus [ours]."""

    num_answers: Samples = 1
    """Answers per question, of which the judge's best is kept; 1 asks no judge [C]. More need the port ``judge``."""

    data: Literal["latest", "union"] = "latest"
    """Rows to train on: this iteration's [C], or those of all iterations."""

    iteration: Positive = 1
    """t; set by the recipe."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of shots and sampling; set from the run's seed when the recipe runs."""

    @model_validator(mode="after")
    def _shots(self) -> Self:
        if self.iteration > self.num_shots:
            raise ValueError(
                f"iteration {self.iteration} shows one shot of each of the {self.iteration - 1} earlier ones and needs "
                f"one of the seeds besides; num_shots = {self.num_shots} is too few. Raise it or lower the iterations"
            )
        return self

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``: a single answer asks no judge, and random shots need no embedding."""
        judged, near = self.num_answers > 1, self.retrieval == "nearest"
        return super().reads() | {
            "template": judged,
            "min_mass": judged,
            "max_tokens": judged,
            "embedding": near,
            "embedding_tokens": near,
            **({} if near else {"answer_order": False}),
        }
