"""p(0..10) of every response, read at one position of one forward pass (paper section 3.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out, Part
from alma.engines import UNREADABLE, Rating
from alma.engines.feed import PartRequests, feed
from alma.engines.judging import ScoredRow, ShotsOf, averaged, judge_requests, reading
from alma.engines.pool import scorer_pool
from alma.errors import ConfigError, StageError
from alma.prompts.conversation import asked_text
from alma.sections import Judge
from alma.seeds import sample_seed
from alma.statistics import pairwise_accuracy
from alma.text.shots import DataSet, Shot, draw

VERSION = 2


def run(
    cfg: Judge,
    *,
    judge: Model,
    second: Model | None = None,
    third: Model | None = None,
    responses: Rows,
    shots: Rows | None = None,
    out: Out,
) -> Metrics:
    """One judgement per response, in their order; responses with human scores also validate the judge.

    With ``second`` and ``third`` (checkpoints of the same base), and with ``variants``, a judgement is the mean of all
    judges' readings by all rating prompts; its ``judge_id`` names the first. ``num_shots`` are drawn from ``shots``.
    Raises ``StageError`` where more of them than ``cfg.max_bad_share`` cannot be read.
    """
    responses.expect("response", "score")
    human = responses.manifest.schema_name == "score"
    judges = [each for each in (judge, second, third) if each is not None]
    shots_of = _shots_of(cfg, shots)
    parts_per_turn = cfg.vllm.parts_per_turn if cfg.engine == "vllm" and len(judges) > 1 else 1
    with scorer_pool(cfg, [partial(_folder, each) for each in judges]) as pool:
        feed(
            out,
            len(responses),
            cfg.part_rows,
            "responses",
            "judgement",
            lambda part: _requests(cfg, judges, responses, shots_of, out, part),
            pool.at,
            parts_per_turn=parts_per_turn,
        )
    unparsable = out.counts().get("num_unparsable", 0)
    if unparsable > cfg.max_bad_share * len(responses):
        raise StageError(
            f"{unparsable} of {len(responses)} judgements put less than min_mass = {cfg.min_mass} on the scale, more "
            f"than max_bad_share = {cfg.max_bad_share} allows: the judge does not know the rating format. Check that "
            "judge.template is the one it was trained with and ends where the rating begins"
        )
    return validation(out) if human else {}


def _folder(model: Model) -> Path:
    return model.folder


def _shots_of(cfg: Judge, shots: Rows | None) -> ShotsOf:
    """Draws the rows that are shown before a prompt; raises ``ConfigError`` where there are too few, or none wanted."""
    if (shots is None) != (cfg.num_shots == 0):
        raise ConfigError(
            f"judge.num_shots = {cfg.num_shots} and the input shots is {'not ' if shots is None else ''}given: give "
            "the rows with human scores that are to be shown, and how many of them, or neither"
        )
    if shots is None:
        return lambda _: ()
    shots.expect("score")
    if len(shots) < cfg.num_shots:
        raise ConfigError(f"judge.num_shots = {cfg.num_shots} and {shots.ref} holds {len(shots)} rows; lower it")
    rows = {row["id"]: row for row in shots.table(["id", "earlier", "prompt", "response", "score"]).to_pylist()}
    among = DataSet(Shot(row_id, asked_text(row), row["response"]) for row_id, row in rows.items())

    def draw_for(prompt: str) -> list[ScoredRow]:
        # By the prompt's text, so that all responses to it are rated after the same rows.
        drawn = draw([among], cfg.num_shots, sample_seed(cfg.seed, "shots", prompt), prompt)
        return [ScoredRow(shot.question, shot.answer, rows[shot.id]["score"]) for shot in drawn]

    return draw_for


def _requests(
    cfg: Judge, judges: Sequence[Model], responses: Rows, shots_of: ShotsOf, out: Out, part: Part
) -> PartRequests:
    """A request for every reading: each judge (its place is the turn) with each rating prompt."""
    given = responses.table(None, part.start, part.stop).to_pylist()
    # What was too long to be answered has no response to rate.
    answered = [row for row in given if row.get("num_tokens") != 0]
    pairs = [(asked_text(row), row["response"]) for row in answered]
    requests = judge_requests(cfg, pairs, shots_of)
    turns = [(place, lambda _, request=request: request) for place in range(len(judges)) for request in requests]

    def rows(answers: list[list[list[Rating]]], num_tokens: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
        readings = [[rating for several in answer for rating in several] for answer in answers]
        ratings = (averaged(several) for several in zip(*readings, strict=True))
        rows = [
            {
                "id": out.row_id(part.start + i),
                "response_id": row["id"],
                "prompt_id": row.get("prompt_id") or row["id"],
                "judge_id": str(judges[0].ref),
                "checkpoint_id": row.get("checkpoint_id"),
                "earlier": row["earlier"],
                "prompt": row["prompt"],
                "response": row["response"],
                "num_tokens": row.get("num_tokens"),
                "ended": row.get("ended"),
                "marker": row.get("marker"),
                "human_score": row.get("score"),
                **reading(cfg, UNREADABLE if row.get("num_tokens") == 0 else next(ratings)),
            }
            for i, row in enumerate(given)
        ]
        unparsable = sum(not row["parsed"] for row in rows) - (len(given) - len(answered))
        return rows, {"num_tokens": num_tokens, "num_unparsable": unparsable}

    return PartRequests(turns, rows)


def validation(out: Out) -> Metrics:
    """Agreement with the human scores: pairs of one prompt, and the mean absolute difference."""
    rows = [
        row for row in out.read_back(["earlier", "prompt", "human_score", "mean", "integer", "parsed"]) if row["parsed"]
    ]
    if not rows:
        return {}
    prompts = [asked_text(row) for row in rows]
    human = [row["human_score"] for row in rows]
    means = [row["mean"] for row in rows]
    real, num_pairs = pairwise_accuracy(prompts, human, means)
    integer, _ = pairwise_accuracy(prompts, human, [row["integer"] for row in rows])
    error = float(np.mean(np.abs(np.array(human) - np.array(means))))
    metrics: Metrics = {"num_pairs": num_pairs, "mean_absolute_error": error}
    if num_pairs:
        metrics |= {"pairwise_accuracy": real, "pairwise_accuracy_integer": integer}
    return metrics
