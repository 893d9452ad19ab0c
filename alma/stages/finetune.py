"""A new model from a checkpoint and rows: SFT, DPO, or the judge's rating loss (paper sections 3.3.3 and 3.4)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.engines import PairLogprobs, Training, load_trainer
from alma.engines.curves import Curves, Named
from alma.errors import ConfigError, DataError, StageError
from alma.objectives import OBJECTIVES, with_reference
from alma.sections import Finetune
from alma.sections.finetune import MOST_EPOCHS

VERSION = 2

SPEED = "speed.jsonl"
"""How fast each step was, beside the artifact: no two runs agree on it, so it is no part of what is sealed."""


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
            training.extend(training_rows(cfg, given))
    if not training:
        raise StageError(f"{rows.ref} holds no rows to train on")
    logprobs = None
    if reference is not None:
        if not OBJECTIVES[cfg.objective].reads_reference:
            raise ConfigError(
                f"objective = {cfg.objective!r} reads no reference, only {', '.join(with_reference())} does: leave the "
                "input out"
            )
        pairs = [given for given in (rows, replay) if given is not None]
        ids = [row_id for given in pairs for row_id in given.table(["id"])["id"].to_pylist()]
        logprobs = logprobs_of(reference, model, ids)
    if matched is not None:
        cfg = cfg.changed(epochs=_epochs(cfg, len(rows), matched, len(training)))
    scratch = out.scratch / "checkpoints"
    named = Named(out.title, out.ref.key, cfg.keyed())
    with (
        out.checkpoints() as checkpoints,
        out.progress(1, "steps") as progress,
        Curves(cfg, named, checkpoints.say) as curves,
    ):

        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
            progress.total = total
            progress.advance(step - progress.done, int(metrics.get("tokens", 0)))
            checkpoints.tell()
            curves.step(step, metrics)

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


def _epochs(cfg: Finetune, num_rows: int, matched: Rows, num_training: int) -> float:
    """Of ``num_training`` rows, in which as many are seen as in all trainings that ``matched`` is of."""
    epochs = cfg.epochs * num_seen(num_rows, matched) / num_training
    if not 0 < epochs <= MOST_EPOCHS:
        raise ConfigError(
            f"epochs = {cfg.epochs:g} of all trainings that {matched.ref} is of are {epochs:g} over these "
            f"{num_training} rows, and {MOST_EPOCHS:,} are the most: lower train.epochs"
        )
    return epochs


def training_rows(cfg: Finetune, given: Rows) -> list[dict[str, Any]]:
    """The rows to train on that ``given`` makes. Raises ``DataError`` where the objective trains on no such rows."""
    sources = OBJECTIVES[cfg.objective].sources
    given.expect(*sources)
    source = sources[str(given.manifest.schema_name)]
    made = (source.row(cfg, row) for row in given.table(list(source.columns)).to_pylist())
    return [_without_hole(row) for row in made if row is not None]


def _without_hole(row: dict[str, Any]) -> dict[str, Any]:
    """A single prompt has no turns before it, and says nothing of them."""
    return {name: value for name, value in row.items() if name != "earlier" or value is not None}


def logprobs_of(reference: Rows, model: Model, ids: list[str]) -> list[PairLogprobs | None]:
    """What ``model`` thinks of the pairs named ``ids``, found by their ids in ``reference``.

    Raises ``DataError`` where they are another model's thoughts, or of other pairs.
    """
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
