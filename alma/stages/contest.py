"""How often a checkpoint's answers are preferred to a comparator's, with and without its longer answers.

The preferences are a reward model's (the higher reward; equal ones are a draw) or those of a served model that compared
both answers in both orders. Win rates are ``alma.win_rate``'s: prompts without a preference are left out and counted.

Axes: P prompts, in the order of the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.errors import ConfigError, DataError, StageError
from alma.prompts.conversation import user_side
from alma.sections import Answers
from alma.win_rate import NUM_FOLDS, WinRate, length_controlled_win_rate, win_rate

VERSION = 2
PART_ROWS = 65536


def run(
    cfg: Answers,
    *,
    results: Rows,
    others: Rows,
    rewards: Rows | None = None,
    other_rewards: Rows | None = None,
    preferences: Rows | None = None,
    out: Out,
) -> Metrics:
    """Win rates by a reward model's ``rewards`` of both, or by a served model's ``preferences``.

    Raises ``ConfigError`` where it is not one of the two, ``StageError`` where nothing was compared.
    """
    results.expect("result", "examined")
    others.expect("pair")
    answered = results.table().to_pylist()
    answers = {user_side(row): row for row in others.table(["id", "earlier", "prompt", "response"]).to_pylist()}
    others_P = [answers.get(user_side(row)) for row in answered]
    if preferences is not None and rewards is None and other_rewards is None:
        judged = _judged(preferences, answered)
        found = [_preferred(row, judged) for row in answered]
    elif preferences is None and rewards is not None and other_rewards is not None:
        ours = _judged(rewards, answered)
        theirs = _judged(other_rewards, [each for each in others_P if each is not None])
        found = [_higher(row, other, ours, theirs) for row, other in zip(answered, others_P, strict=True)]
    else:
        raise ConfigError("give the inputs rewards and other_rewards, or the input preferences alone")
    rows = [
        {
            "id": out.row_id(i),
            "result_id": row["id"],
            **{name: row[name] for name in ("prompt_id", "checkpoint_id", "family", "num_tokens")},
            "num_chars": len(row["response"]),
            "other_num_chars": None if other is None else len(other["response"]),
            **columns,
        }
        for i, (row, other, columns) in enumerate(zip(answered, others_P, found, strict=True))
    ]
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["assessment"]), "assessment", PART_ROWS)
    metrics = summary(rows, cfg.seed)
    if "length_controlled_win_rate" not in metrics:
        out.note(f"{metrics['num_compared']} compared prompts are too few to say what of the win rate is length")
    return metrics


def summary(rows: Sequence[Mapping[str, Any]], seed: int) -> Metrics:
    """Win rates with their intervals (0..1), how many preferences they follow from, and how many there are none of.

    Without the length-controlled one where its regression can find nothing: all preferences are alike, or its penalty,
    chosen by cross-validation, leaves no weight at all, as of few prompts. A half of no width would pass for a finding.
    Raises ``StageError`` where nothing was compared.
    """
    known = [row for row in rows if row["preference"] is not None]
    preferences = [row["preference"] for row in known]
    metrics: Metrics = {
        "num_prompts": len(rows),
        "num_compared": len(known),
        "num_draws": sum(each == 0.5 for each in preferences),
        "num_without_preference": len(rows) - len(known),
    }
    if not known:
        raise StageError("no answer was compared with another one: no prompt has two answers that were both judged")
    metrics |= _stated("win_rate", win_rate(preferences, seed))
    if len(known) >= NUM_FOLDS and len(set(preferences)) > 1:
        lengths, others = ([row[name] for row in known] for name in ("num_chars", "other_num_chars"))
        even = length_controlled_win_rate(preferences, lengths, others, seed=seed)
        if even.low < even.high:
            metrics |= _stated("length_controlled_win_rate", even)
    return metrics


def _stated(name: str, rate: WinRate) -> Metrics:
    return {name: rate.mean, f"{name}_low": rate.low, f"{name}_high": rate.high}


def _judged(rows: Rows, answers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Judgements by the answer that they are about. Raises ``DataError`` where one of ``answers`` has none."""
    rows.expect("assessment")
    columns = ["result_id", "evaluator", "score", "preference", "num_paid_tokens", "fault"]
    found = {row["result_id"]: row for row in rows.table(columns).to_pylist()}
    without = next((row["id"] for row in answers if row["id"] not in found), None)
    if without is not None:
        raise DataError(f"{rows.ref} says nothing of the answer {without}: it is of other answers; give that of these")
    return found


def _preferred(row: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = judged[row["id"]]
    return {name: found[name] for name in ("evaluator", "preference", "num_paid_tokens", "fault")}


def _higher(
    row: Mapping[str, Any],
    other: Mapping[str, Any] | None,
    ours: Mapping[str, Mapping[str, Any]],
    theirs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    mine = ours[row["id"]]
    columns = {"evaluator": mine["evaluator"], "score": mine["score"]}
    if other is None:
        return columns | {"preference": None, "fault": mine["fault"] or "missing"}
    its = theirs[other["id"]]
    both = {"other_score": its["score"], "preference": None, "fault": mine["fault"] or its["fault"]}
    if mine["score"] is None or its["score"] is None:
        return columns | both
    difference = mine["score"] - its["score"]
    return columns | both | {"preference": 0.5 if difference == 0 else float(difference > 0)}
