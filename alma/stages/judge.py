"""p(0..10) of every response, read at one position of one forward pass (paper section 3.3.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out, Part
from alma.engines import UNREADABLE, Rating, lazy, load_scorer
from alma.engines.feed import PartRequests, feed
from alma.engines.judging import reading, score_request
from alma.errors import StageError
from alma.sections import Judge
from alma.statistics import pairwise_accuracy

VERSION = 2


def run(cfg: Judge, *, judge: Model, responses: Rows, out: Out) -> Metrics:
    """One judgement per response, in their order; responses with human scores also validate the judge."""
    responses.expect("response", "score")
    human = responses.manifest.schema_name == "score"
    with lazy(lambda: load_scorer(cfg, judge.folder)) as scorer:
        feed(
            out,
            len(responses),
            cfg.part_rows,
            "responses",
            "judgement",
            lambda part: _requests(cfg, judge, responses, out, part),
            lambda _: scorer(),
        )
    unparsable = out.counts().get("num_unparsable", 0)
    if unparsable > cfg.max_bad_share * len(responses):
        raise StageError(
            f"{unparsable} of {len(responses)} judgements put less than min_mass = {cfg.min_mass} on the scale, more "
            f"than max_bad_share = {cfg.max_bad_share} allows: the judge does not know the rating format. Check that "
            "judge.template is the one it was trained with and ends where the rating begins"
        )
    return validation(out) if human else {}


def _requests(cfg: Judge, judge: Model, responses: Rows, out: Out, part: Part) -> PartRequests:
    given = responses.table(None, part.start, part.stop).to_pylist()
    # What was too long to be answered has no response to rate.
    answered = [row for row in given if row.get("num_tokens") != 0]
    request = score_request(cfg, [(row["prompt"], row["response"]) for row in answered])

    def rows(answers: list[list[list[Rating]]], num_tokens: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
        ratings = (rating for several in answers[0] for rating in several)
        rows = [
            {
                "id": out.row_id(part.start + i),
                "response_id": row["id"],
                "prompt_id": row.get("prompt_id") or row["id"],
                "judge_id": str(judge.ref),
                "checkpoint_id": row.get("checkpoint_id"),
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

    return PartRequests([(0, lambda _: request)], rows)


def validation(out: Out) -> Metrics:
    """Agreement with the human scores: pairs of one prompt, and the mean absolute difference."""
    rows = [row for row in out.read_back(["prompt", "human_score", "mean", "integer", "parsed"]) if row["parsed"]]
    if not rows:
        return {}
    prompts = [row["prompt"] for row in rows]
    human = [row["human_score"] for row in rows]
    means = [row["mean"] for row in rows]
    real, num_pairs = pairwise_accuracy(prompts, human, means)
    integer, _ = pairwise_accuracy(prompts, human, [row["integer"] for row in rows])
    error = float(np.mean(np.abs(np.array(human) - np.array(means))))
    metrics: Metrics = {"num_pairs": num_pairs, "mean_absolute_error": error}
    if num_pairs:
        metrics |= {"pairwise_accuracy": real, "pairwise_accuracy_integer": integer}
    return metrics
