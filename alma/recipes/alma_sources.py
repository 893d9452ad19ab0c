"""What ALMA takes from outside."""

from __future__ import annotations

from typing import Any, NamedTuple

from alma.config import Alma
from alma.recipes import Do


class Sources(NamedTuple):
    """What the user brings: M0, D1, the human scores, the evaluation prompts."""

    base: Any
    sft_seeds: Any
    score_seeds: Any
    heldout_scores: Any
    evaluation_prompts: Any


def sources(cfg: Alma, do: Do) -> Sources:
    """Everything from outside; what is held out is compared with what is trained on before any work."""
    base = do("ingest", cfg.base, label="base model")
    sft_seeds = do("ingest", cfg.sft_seeds, label="SFT seeds", model=base)
    score_seeds = do("ingest", cfg.score_seeds, label="human scores", model=base)
    likeness = cfg.curate.likeness.model_dump()
    heldout_scores = cfg.heldout_scores and do(
        "ingest",
        cfg.heldout_scores.changed(likeness=likeness),
        label="held-out scores",
        model=base,
        scores=score_seeds,
    )
    evaluation_prompts = do(
        "ingest",
        cfg.evaluation_prompts.changed(likeness=likeness),
        label="evaluation prompts",
        model=base,
        seeds=sft_seeds,
        scores=score_seeds,
    )
    return Sources(base, sft_seeds, score_seeds, heldout_scores, evaluation_prompts)
