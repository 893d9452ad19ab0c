"""A new model from a checkpoint and rows: SFT, DPO, or the judge's rating loss (paper sections 3.3.3 and 3.4)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.artifact.records import RATINGS
from alma.engines import PairLogprobs, Training, load_trainer
from alma.errors import ConfigError, DataError, StageError
from alma.sections import Finetune

VERSION = 1

SPEED = "speed.jsonl"
"""How fast each step was, beside the artifact: no two runs agree on it, so it is no part of what is sealed."""

ROWS = {"sft": ("pair", "example", "imitation"), "dpo": ("preference",), "judge": ("score", "judgement")}


def run(
    cfg: Finetune,
    *,
    model: Model,
    rows: Rows,
    replay: Rows | None = None,
    matched: Rows | None = None,
    reference: Rows | None = None,
    out: Out,
) -> Metrics:
    """Trains on ``rows`` and ``replay``; the artifact is a model folder with ``curve.jsonl``, one line per step.

    With ``matched``, what an ISARA run wrote, it goes on over the rows until it has seen as many as all trainings of
    that run together. ``reference`` is what DPO's reference model thinks of the rows; without it the trainer asks
    ``model`` itself. Raises ``DataError`` where it is another model's, or not of these rows.
    """
    training: list[dict[str, Any]] = []
    for given in (rows, replay):
        if given is not None:
            given.expect(*ROWS[cfg.objective])
            training.extend(_rows(cfg, given))
    if not training:
        raise StageError(f"{rows.ref} holds no rows to train on")
    logprobs = None
    if reference is not None:
        if cfg.objective != "dpo":
            raise ConfigError(f"objective = {cfg.objective!r} reads no reference, only 'dpo' does: leave the input out")
        pairs = [given for given in (rows, replay) if given is not None]
        ids = [row_id for given in pairs for row_id in given.table(["id"])["id"].to_pylist()]
        logprobs = logprobs_of(reference, model, ids)
    if matched is not None:
        cfg = cfg.changed(epochs=cfg.epochs * num_seen(len(rows), matched) / len(training))
    scratch = out.scratch / "checkpoints"
    with out.checkpoints() as checkpoints, out.progress(1, "steps") as progress:

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
            progress.total = total
            progress.advance(step - progress.done, int(metrics.get("tokens", 0)))
            checkpoints.tell()

        metrics = load_trainer(cfg.trainer).train(
            cfg,
            Training(
                model=model.folder,
                rows=training,
                out=out.folder,
                scratch=scratch,
                on_step=on_step,
                stopping=out.stopping,
                remote=checkpoints,
                reference=logprobs,
            ),
        )
    speed = scratch / SPEED
    if speed.exists():
        out.store.write(f"{out.ref}/{SPEED}", speed.read_bytes())
    return dict(metrics)


def _rows(cfg: Finetune, rows: Rows) -> list[dict[str, Any]]:
    if rows.manifest.schema_name == "imitation":
        own = rows.table(["prompt", "response", "train"]).to_pylist()
        return [{"prompt": row["prompt"], "response": row["response"]} for row in own if row["train"]]
    if cfg.objective == "sft":
        return list(rows.table(["prompt", "response"]).to_pylist())
    if cfg.objective == "dpo":
        return list(rows.table(["prompt", "chosen", "rejected"]).to_pylist())
    if rows.manifest.schema_name == "score":
        human = rows.table(["prompt", "response", "score"]).to_pylist()
        return [_target(row, one_hot(row["score"])) for row in human]
    own = rows.table(["prompt", "response", "probs", "mean", "parsed"]).to_pylist()
    return [
        _target(row, one_hot(row["mean"]) if cfg.labels == "rounded" else row["probs"]) for row in own if row["parsed"]
    ]


def logprobs_of(reference: Rows, model: Model, ids: list[str]) -> list[PairLogprobs | None]:
    """What ``model`` thinks of the pairs named ``ids``, found by their ids in ``reference``."""
    reference.expect("reference")
    table = reference.table(["preference_id", "checkpoint_id", "chosen_logprob", "rejected_logprob", "digest"])
    others = set(table["checkpoint_id"].unique().to_pylist()) - {str(model.ref)}
    if others:
        raise DataError(
            f"{reference.ref} is what {others.pop()} thinks and training starts from {model.ref}: give reference and "
            "finetune the same model"
        )
    found = {
        row["preference_id"]: PairLogprobs(row["chosen_logprob"], row["rejected_logprob"], row["digest"])
        if row["digest"] is not None
        else None
        for row in table.to_pylist()
    }
    missing = [row_id for row_id in ids if row_id not in found]
    if missing:
        raise DataError(
            f"{reference.ref} has no row of {len(missing)} of the {len(ids)} pairs, {missing[0]} the first of them: it "
            "was read of other rows; give the same rows to reference and finetune"
        )
    return [found[row_id] for row_id in ids]


def num_seen(num_seeds: int, imitation: Rows) -> int:
    """Rows that the trainings of an ISARA run see in one epoch each: every one the seeds, and what its data say."""
    imitation.expect("imitation")
    count = Counter(imitation.table(["iteration"]).column("iteration").to_pylist())
    union = imitation.manifest.section["data"] == "union"
    written = [sum(n for i, n in count.items() if i == t or (union and i < t)) for t in count]
    return len(written) * num_seeds + sum(written)


def one_hot(score: float) -> list[float]:
    """A score as a distribution over 0..10. A score between two ratings is shared by them, so its mean stays."""
    low = min(int(score), RATINGS[-1] - 1)
    share = score - low
    return [1 - share if k == low else share if k == low + 1 else 0.0 for k in RATINGS]


def _target(row: dict[str, Any], target: list[float]) -> dict[str, Any]:
    return {"prompt": row["prompt"], "response": row["response"], "target": target}
