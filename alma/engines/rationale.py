"""A judge that writes reasons before it rates: ``ReasoningScorer`` (paper section 3.3.4).

What it is asked ends where the reasons begin; it writes them, and the rating is read behind them at the end of the
rating prompt. Not covered: the reasons are not kept.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from alma.engines.answering import OneByOne, ask
from alma.engines.loading import load_generator, load_rating
from alma.engines.requests import GenerateRequest, OnTokens, Rated, Rating, ScoreRequest
from alma.prompts import joined, judge_suffix, quote
from alma.sections import Judge
from alma.seeds import sample_seed


class ReasoningScorer(OneByOne[ScoreRequest, list[list[Rating]]]):
    """``alma.engines.Scorer`` over a generator and a scorer of one model, which is in memory twice.

    A rationale depends on the text before it and the section's seed only. Where there is no room to write one, or it
    does not fit into ``max_tokens``, the response is ``UNREADABLE``.
    """

    def __init__(self, cfg: Judge, model: Path) -> None:
        assert cfg.rationale is not None, "load_scorer asks"
        self.cfg, self.sampling = cfg, cfg.rationale.sampling
        self._end = judge_suffix(cfg.template, "")  # all variants end alike
        with ExitStack() as stack:
            self._generator = stack.enter_context(load_generator(cfg, model))
            self._scorer = stack.enter_context(load_rating(cfg, model))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def answer_one(self, request: ScoreRequest, on_tokens: OnTokens) -> list[list[Rating]]:
        """See ``alma.engines.OneByOne``. ``on_tokens`` hears of what is written and of what is read."""
        texts = request.distinct()
        writing = GenerateRequest(
            texts_P=list(texts.values()),
            seeds_PN=[[sample_seed(self.cfg.seed, "rationale", text)] for text in texts.values()],
            sampling=self.sampling,
            max_new_tokens=self.sampling.max_new_tokens,
            stop=self._generator.stops(self.cfg.template),
        )
        written = ask(self._generator, writing, on_tokens)
        # A text that left no room has no rationale, and is not rated.
        rated = [pair for pair, [each] in zip(texts, written, strict=True) if each.num_tokens]
        rationales = [each.text for [each] in written if each.num_tokens]
        suffixes_PN: list[list[str]] = [[] for _ in request.prefixes_P]
        for (place, suffix), rationale in zip(rated, rationales, strict=True):
            suffixes_PN[place].append(joined([suffix, quote(rationale), self._end]))
        answers = ask(self._scorer, ScoreRequest(request.prefixes_P, suffixes_PN, request.max_tokens), on_tokens)
        found: dict[Rated, Rating] = dict(zip(rated, (each for several in answers for each in several), strict=True))
        return request.answer(found)
