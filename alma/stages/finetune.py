"""A new model from a checkpoint and rows: SFT, DPO, or the judge's rating loss (paper sections 3.3.3 and 3.4)."""

from __future__ import annotations

from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.engines import Training, load_trainer
from alma.errors import StageError
from alma.out import Out
from alma.records import RATINGS
from alma.sections import Finetune

VERSION = 1

ROWS = {"sft": ("pair", "example"), "dpo": ("preference",), "judge": ("score", "judgement")}


def run(cfg: Finetune, *, model: Model, rows: Rows, replay: Rows | None = None, out: Out) -> Metrics:
    """Trains on ``rows`` and ``replay``; the artifact is a model folder with ``curve.jsonl``, one line per step."""
    training: list[dict[str, Any]] = []
    for given in (rows, replay):
        if given is not None:
            given.expect(*ROWS[cfg.objective])
            training.extend(_rows(cfg, given))
    if not training:
        raise StageError(f"{rows.ref} holds no rows to train on")
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
                scratch=out.scratch / "checkpoints",
                on_step=on_step,
                stopping=out.stopping,
                remote=checkpoints,
            ),
        )
    return dict(metrics)


def _rows(cfg: Finetune, rows: Rows) -> list[dict[str, Any]]:
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


def one_hot(score: float) -> list[float]:
    """A score as a distribution over 0..10. A score between two ratings is shared by them, so its mean stays."""
    low = min(int(score), RATINGS[-1] - 1)
    share = score - low
    return [1 - share if k == low else share if k == low + 1 else 0.0 for k in RATINGS]


def _target(row: dict[str, Any], target: list[float]) -> dict[str, Any]:
    return {"prompt": row["prompt"], "response": row["response"], "target": target}
