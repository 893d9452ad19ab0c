"""Vectors of prompts from the base model's hidden states (paper section 3.1)."""

from __future__ import annotations

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.engines import Floats, load_embedder, when_asked
from alma.out import Out
from alma.sections import Embed

VERSION = 1


def run(cfg: Embed, *, model: Model, prompts: Rows, out: Out) -> Metrics:
    """One L2-normalised vector per prompt, in prompt order."""
    projection = None
    with when_asked(lambda: load_embedder(cfg, model.folder)) as embedder:
        for part, progress in out.each(len(prompts), cfg.part_rows, "prompts"):
            rows = prompts.table(["id", "prompt"], part.start, part.stop).to_pylist()
            vectors_PD = embedder().embed([row["prompt"] for row in rows], max_tokens=cfg.max_tokens)
            if cfg.dimensions != "all" and cfg.dimensions < vectors_PD.shape[1]:
                if projection is None:
                    projection = _projection(vectors_PD.shape[1], cfg.dimensions, cfg.seed)
                vectors_PD = vectors_PD @ projection
            vectors_PD = normalise(vectors_PD)
            table = [
                {"id": out.row_id(part.start + i), "prompt_id": row["id"], "vector": vectors_PD[i].tolist()}
                for i, row in enumerate(rows)
            ]
            out.publish(part, "embedding", table)
            progress.advance(len(rows))
    return {"num_prompts": len(prompts)}


def normalise(vectors_PD: Floats) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    lengths_P1 = np.linalg.norm(vectors_PD, axis=1, keepdims=True)
    unit_PD: Floats = vectors_PD / np.where(lengths_P1 > 0, lengths_P1, 1.0)
    return unit_PD


def _projection(before: int, after: int, seed: int) -> Floats:
    """Gaussian random projection, which keeps distances (Johnson and Lindenstrauss)."""
    drawn: Floats = np.random.default_rng(seed).standard_normal((before, after))
    return drawn / float(np.sqrt(after))
