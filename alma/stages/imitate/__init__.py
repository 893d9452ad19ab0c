"""New questions and answers in the manner of a few seeds: one iteration of ISARA (arXiv 2401.06785).

Shots are bare turns. A question is written after random shots, its answer after those whose questions are nearest.
One model is in memory at a time. The seed of a sample follows from the iteration and the number of the attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.artifact.records import DROP_REASONS, IMITATION
from alma.engines import lazy, load_generator, load_scorer
from alma.errors import StageError
from alma.sections import Imitate
from alma.stages.imitate.answers import AnswerShots, choose, write_answers
from alma.stages.imitate.attempt import Answer, Attempt, in_parts
from alma.stages.imitate.filters import distinct_word_share, nearest_rouge
from alma.stages.imitate.form import two_forms
from alma.stages.imitate.inputs import check_ports, check_room, data_sets
from alma.stages.imitate.questions import asks_again, blank, compare, compare_among, write_questions
from alma.stages.imitate.room import Room

VERSION = 2


def run(
    cfg: Imitate,
    *,
    model: Model,
    seeds: Rows,
    previous: Rows | None = None,
    judge: Model | None = None,
    embedder: Model | None = None,
    out: Out,
) -> Metrics:
    """The rows of all iterations so far, this one's last; what is dropped is set aside with its reason.

    ``judge`` is read where ``num_answers`` is above 1, ``embedder`` where ``retrieval`` is nearest. Raises
    ``StageError`` where no attempt is kept.
    """
    check_ports(cfg, previous, judge, embedder)
    sets = data_sets(cfg, seeds, previous)
    check_room(cfg, Room(cfg, model.folder), seeds)
    if cfg.num_answers == 1:
        judge = None
    if told := two_forms(cfg, model.folder):
        out.note(told)

    attempts = blank(cfg, sets)
    if not asks_again(cfg):
        with lazy(lambda: load_generator(cfg, model.folder)) as generator:
            write = partial(write_questions, cfg, generator, sets)
            attempts = in_parts(out, "questions", attempts, cfg.part_rows, write)
        compare(cfg, sets, attempts)
    left = [attempt for attempt in attempts if attempt.reason is None]
    done = [attempt for attempt in attempts if attempt.reason is not None]
    shots = AnswerShots(cfg, embedder or model, sets, left)
    with lazy(lambda: load_generator(cfg, model.folder)) as generator:
        answered = in_parts(out, "answers", left, cfg.part_rows, partial(write_answers, cfg, generator, shots))
    if judge is None:
        chosen = choose(cfg, None, answered)
    else:
        folder = judge.folder
        with lazy(lambda: load_scorer(cfg, folder)) as scorer:
            chosen = choose(cfg, scorer, answered)
    if not asks_again(cfg):
        compare_among(cfg, answered)

    done = sorted([*done, *answered], key=lambda attempt: attempt.number)
    kept = [attempt for attempt in answered if attempt.reason is None]
    _set_aside(cfg, out, done)
    rows = [] if previous is None else previous.table().to_pylist()
    rows = [row | {"train": cfg.data == "union"} for row in rows]
    rows += [_row(cfg, attempt, chosen[attempt.number], model, judge) for attempt in kept]
    rows = [row | {"id": out.row_id(place)} for place, row in enumerate(rows)]
    out.write(pa.Table.from_pylist(rows, schema=IMITATION), "imitation", cfg.part_rows)
    known = [] if asks_again(cfg) else [shot.question for each in sets for shot in each.shots]
    return _metrics(done, [attempt.question for attempt in kept], known, rows, cfg)


def _set_aside(cfg: Imitate, out: Out, done: Sequence[Attempt]) -> None:
    dropped = [attempt for attempt in done if attempt.reason is not None]
    out.aside(
        [
            {
                "attempt": attempt.number,
                "reason": attempt.reason,
                "prompt": attempt.question,
                "responses": [answer.text for answer in attempt.answers],
            }
            for attempt in dropped
        ]
    )
    if len(dropped) == len(done):
        counts = _reasons(done)
        said = "; ".join(f"{counts[name]} {name} ({why})" for name, why in DROP_REASONS.items() if counts[name])
        raise StageError(
            f"iteration {cfg.iteration} kept none of {len(done)} attempts: {said}. They are in {out.ref}/aside.jsonl: "
            "see whether the model follows imitate.turns, or loosen the filter that took the most"
        )


def _metrics(
    done: Sequence[Attempt],
    questions: Sequence[str],
    known: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    cfg: Imitate,
) -> Metrics:
    """Yields, what was dropped by reason, and how unlike the kept questions are."""
    counts = _reasons(done)
    own = [row for row in rows if row["iteration"] == cfg.iteration]
    metrics: Metrics = {
        "num_attempts": len(done),
        "num_kept": len(questions),
        "yield": len(questions) / len(done),
        **{f"num_{reason}": counts[reason] for reason in DROP_REASONS},
        "num_train": sum(row["train"] for row in rows),
        "num_tokens": sum(attempt.all_tokens for attempt in done),
        "response_tokens": float(np.mean([row["num_tokens"] for row in own])),
        "nearest_rouge": nearest_rouge(questions, known),
        "distinct_word_share": distinct_word_share(questions),
    }
    scores = [row["score"] for row in own if row["score"] is not None]
    return metrics | ({"judge_score": float(np.mean(scores))} if scores else {})


def _reasons(done: Sequence[Attempt]) -> Counter[str]:
    return Counter(attempt.reason for attempt in done if attempt.reason is not None)


def _row(cfg: Imitate, attempt: Attempt, answer: Answer, model: Model, judge: Model | None) -> dict[str, Any]:
    return {
        "iteration": cfg.iteration,
        "train": True,
        "checkpoint_id": str(model.ref),
        "judge_id": None if judge is None else str(judge.ref),
        "question_shot_ids": attempt.shot_ids,
        "answer_shot_ids": attempt.answer_shot_ids,
        "question_seed": attempt.seed,
        "sample_seed": answer.seed,
        "prompt": attempt.question,
        "response": answer.text,
        "score": answer.score,
        "num_tokens": answer.num_tokens,
    }
