"""Answers to new questions, each after the shots whose questions are nearest. Axes: P attempts, N answers of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property

from alma.artifact import Model
from alma.engines import (
    TOO_LONG,
    Embedder,
    EmbedRequest,
    GenerateRequest,
    Generator,
    Scorer,
    ask,
    load_embedder,
    load_sentence_embedder,
)
from alma.engines.judging import rate, reading
from alma.engines.vectors import unit_rows
from alma.sections import Imitate
from alma.seeds import sample_seed
from alma.stages.imitate.attempt import Answer, Attempt
from alma.stages.imitate.filters import answer_flaw
from alma.text.shots import DataSet, Shot, draw, nearest
from alma.text.turns import answer_prompt, cut, markers


class AnswerShots:
    """The shots of every attempt that is to be answered, found at the first question for them, all at once."""

    def __init__(self, cfg: Imitate, model: Model, sets: Sequence[DataSet], attempts: Sequence[Attempt]) -> None:
        """``model`` embeds."""
        self._cfg, self._model, self._sets, self._attempts = cfg, model, sets, attempts

    def __getitem__(self, attempt: Attempt) -> list[Shot]:
        return self._shots[attempt.number]

    @cached_property
    def _shots(self) -> dict[int, list[Shot]]:
        cfg, sets = self._cfg, self._sets
        numbers = [attempt.number for attempt in self._attempts]
        questions = [attempt.question for attempt in self._attempts]
        if cfg.retrieval == "random":
            seeds = [sample_seed(cfg.seed, "answer shots", cfg.iteration, number) for number in numbers]
            found = [draw(sets, cfg.num_shots, seed, asked) for seed, asked in zip(seeds, questions, strict=True)]
            return dict(zip(numbers, found, strict=True))
        with ExitStack() as stack:
            embedder = stack.enter_context(_embedder(cfg, self._model))
            sizes = [len(rows) for rows in sets]
            texts = [shot.question for rows in sets for shot in rows.shots] + questions
            vectors = unit_rows(ask(embedder, EmbedRequest(texts, cfg.embedding_tokens)))
        starts = [sum(sizes[:place]) for place in range(len(sizes) + 1)]
        vectors_of = [vectors[start : start + size] for start, size in zip(starts, sizes, strict=False)]
        found = nearest(sets, vectors_of, cfg.num_shots, questions, vectors[starts[-1] :])
        if cfg.answer_order == "nearest_first":
            found = [shots[::-1] for shots in found]
        return dict(zip(numbers, found, strict=True))


def write_answers(
    cfg: Imitate, generator: Callable[[], Generator], shots: AnswerShots, attempts: Sequence[Attempt]
) -> None:
    """Answers the questions that were not dropped, in one request."""
    left = [attempt for attempt in attempts if attempt.reason is None]
    texts = []
    for attempt in left:
        shown = shots[attempt]  # before the generator is asked for: one model is in memory at a time
        attempt.answer_shot_ids = [shot.id for shot in shown]
        texts.append(answer_prompt(cfg.turns, [(shot.question, shot.answer) for shot in shown], attempt.question))
    if not left:
        return
    seeds_PN = [
        [sample_seed(cfg.seed, "answer", cfg.iteration, attempt.number, place) for place in range(cfg.num_answers)]
        for attempt in left
    ]
    request = GenerateRequest(
        texts_P=texts,
        seeds_PN=seeds_PN,
        sampling=cfg.answer_sampling,
        max_new_tokens=cfg.answer_sampling.max_new_tokens,
        stop=[*markers(cfg.turns), *generator().stops(cfg.template if cfg.num_answers > 1 else None)],
    )
    completions_PN = ask(generator(), request)
    for attempt, seeds, completions in zip(left, seeds_PN, completions_PN, strict=True):
        if TOO_LONG in completions:  # all of them: they are of one text
            attempt.reason = "context"
            continue
        attempt.answers = [
            Answer(cut(cfg.turns, each.text), seed, each.num_tokens, each.ended)
            for seed, each in zip(seeds, completions, strict=True)
        ]


def choose(cfg: Imitate, scorer: Callable[[], Scorer] | None, attempts: Sequence[Attempt]) -> dict[int, Answer]:
    """Attempt → its answer: the one without flaw that the judge, where there is one, rates highest; ties: the first.

    An attempt without such an answer is dropped, for the flaw of its first one.
    """
    left = [attempt for attempt in attempts if attempt.reason is None]
    sound: dict[int, list[Answer]] = {}
    for attempt in left:
        flaws = [answer_flaw(cfg, attempt.question, answer) for answer in attempt.answers]
        sound[attempt.number] = [each for each, flaw in zip(attempt.answers, flaws, strict=True) if flaw is None]
        attempt.reason = None if sound[attempt.number] else flaws[0]
    left = [attempt for attempt in left if attempt.reason is None]
    if scorer is None:
        return {attempt.number: sound[attempt.number][0] for attempt in left}
    pairs = [(attempt.question, answer.text) for attempt in left for answer in sound[attempt.number]]
    ratings = iter(rate(cfg, scorer(), pairs) if pairs else [])
    chosen: dict[int, Answer] = {}
    for attempt in left:
        for answer in sound[attempt.number]:
            read = reading(cfg, next(ratings))
            answer.score = read["mean"] if read["parsed"] else None
        rated = [answer for answer in sound[attempt.number] if answer.score is not None]
        if rated:
            chosen[attempt.number] = max(rated, key=lambda answer: answer.score or 0.0)
        else:
            attempt.reason = "unparsable"
    return chosen


def _embedder(cfg: Imitate, model: Model) -> Embedder:
    load = load_embedder if cfg.embedding == "model" else load_sentence_embedder
    return load(cfg, model.folder)
