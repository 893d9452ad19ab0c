"""What an outside reward model gives every answer of an evaluation."""

from __future__ import annotations

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.engines import lazy, load_reward
from alma.prompts.conversation import spoken
from alma.sections import Reward
from alma.statistics import mean_and_error

VERSION = 1

TOO_LONG, UNANSWERED = "too_long", "unanswered"
"""Why an answer has no reward: the reward model cannot read so long a conversation; there is no answer."""


def run(cfg: Reward, *, results: Rows, model: Model, out: Out) -> Metrics:
    """A raw reward for each row of ``results``: those of ``evaluate``, or a comparator's pairs.

    What cannot be read has no reward; such rows are counted, and are in no mean.
    """
    results.expect("result", "examined", "pair")
    evaluator = str(model.ref)
    with lazy(lambda: load_reward(cfg, model.folder)) as reward:
        for part, progress in out.each(len(results), cfg.part_rows, "answers"):
            given = results.table(None, part.start, part.stop).to_pylist()
            answered = [row for row in given if row.get("num_tokens") != 0]
            read: list[int] = []

            def hear(num_tokens: int, read: list[int] = read) -> None:
                read.append(num_tokens)
                out.check_stop()

            asked = [spoken(row) for row in answered]
            found = reward().reward(asked, max_tokens=cfg.max_tokens, on_tokens=hear) if asked else []
            scores = {row["id"]: score for row, score in zip(answered, found, strict=True)}
            rows = [
                {
                    "id": out.row_id(part.start + i),
                    "result_id": row["id"],
                    **{name: row.get(name) for name in ("prompt_id", "checkpoint_id", "family", "num_tokens")},
                    "evaluator": evaluator,
                    "num_chars": len(row["response"]),
                    "score": scores.get(row["id"]),
                    "fault": UNANSWERED if row["id"] not in scores else TOO_LONG if scores[row["id"]] is None else None,
                }
                for i, row in enumerate(given)
            ]
            progress.advance(len(rows), sum(read))
            num_unscored = sum(row["score"] is None for row in rows)
            out.publish(part, "assessment", rows, {"num_tokens": sum(read), "num_unscored": num_unscored})
    return _summary(out)


def _summary(out: Out) -> Metrics:
    """The mean reward with its standard error over answers, where anything has one."""
    scores = [row["score"] for row in out.read_back(["score"])]
    known = [score for score in scores if score is not None]
    metrics: Metrics = {"num_prompts": len(scores)}
    if known:
        mean, error = mean_and_error(known)
        metrics |= {"reward": mean, "reward_error": error if len(known) > 1 else 0.0}
    return metrics
