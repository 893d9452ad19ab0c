"""New questions, each written after random shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alma.engines import TOO_LONG, GenerateRequest, Generator, ask
from alma.sections import Imitate
from alma.seeds import sample_seed
from alma.stages.imitate.attempt import Attempt
from alma.stages.imitate.filters import Known, question_flaw
from alma.text.shots import DataSet, draw
from alma.text.turns import cut, markers, question_prompt


def blank(cfg: Imitate, sets: Sequence[DataSet]) -> list[Attempt]:
    """The attempts before anything is written; with ``questions = "same"`` those of the iteration before."""
    if asks_again(cfg):
        return [Attempt(place, None, shot.question, [shot.id]) for place, shot in enumerate(sets[-1].shots)]
    return [
        Attempt(number, sample_seed(cfg.seed, "question", cfg.iteration, number)) for number in range(cfg.num_attempts)
    ]


def asks_again(cfg: Imitate) -> bool:
    """Whether the questions are those of the iteration before."""
    return cfg.questions == "same" and cfg.iteration > 1


def write_questions(
    cfg: Imitate, generator: Callable[[], Generator], sets: Sequence[DataSet], attempts: Sequence[Attempt]
) -> None:
    """Writes the question of every attempt, in one request."""
    texts = []
    for attempt in attempts:
        shots = draw(sets, cfg.num_shots, sample_seed(cfg.seed, "question shots", cfg.iteration, attempt.number))
        attempt.shot_ids = [shot.id for shot in shots]
        texts.append(question_prompt(cfg.turns, [(shot.question, shot.answer) for shot in shots]))
    request = GenerateRequest(
        texts_P=texts,
        seeds_PN=[[attempt.seed or 0] for attempt in attempts],
        sampling=cfg.question_sampling,
        max_new_tokens=cfg.question_sampling.max_new_tokens,
        stop=[*markers(cfg.turns), *generator().stops()],
    )
    completions = ask(generator(), request)
    for attempt, (completion,) in zip(attempts, completions, strict=True):
        attempt.question = cut(cfg.turns, completion.text)
        attempt.num_tokens, attempt.ended = completion.num_tokens, completion.ended
        flaw = question_flaw(cfg, attempt.question, ended=attempt.ended)
        attempt.reason = "context" if completion == TOO_LONG else flaw


def compare(cfg: Imitate, sets: Sequence[DataSet], attempts: Sequence[Attempt]) -> None:
    """Drops questions that were there before this iteration: those that no answer can save are not answered."""
    left = [attempt for attempt in attempts if attempt.reason is None]
    if cfg.duplicates == "pool":
        known = Known(cfg.max_rouge, (shot.question for rows in sets for shot in rows.shots))
        flaws = known.flaws([attempt.question for attempt in left])
    else:
        question_of = {shot.id: shot.question for rows in sets for shot in rows.shots}
        flaws = [
            Known(cfg.max_rouge, (question_of[each] for each in attempt.shot_ids)).flaws([attempt.question])[0]
            for attempt in left
        ]
    for attempt, flaw in zip(left, flaws, strict=True):
        attempt.reason = flaw


def compare_among(cfg: Imitate, attempts: Sequence[Attempt]) -> None:
    """Of attempts of this iteration that are alike keeps the first, in their order.

    Questions that are compared with their own shots alone are alike only where they are equal.
    """
    left = [attempt for attempt in attempts if attempt.reason is None]
    flaws = Known(cfg.max_rouge if cfg.duplicates == "pool" else 1.0).admit([attempt.question for attempt in left])
    for attempt, flaw in zip(left, flaws, strict=True):
        attempt.reason = flaw
