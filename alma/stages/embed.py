"""Vectors of prompts from the base model's hidden states (paper section 3.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out, Part
from alma.engines import EmbedRequest, Floats, lazy, load_embedder
from alma.engines.feed import PartRequests, feed
from alma.engines.vectors import unit_rows
from alma.sections import Embed

VERSION = 1


def run(cfg: Embed, *, model: Model, prompts: Rows, out: Out) -> Metrics:
    """One L2-normalised vector per prompt, in prompt order."""
    with lazy(lambda: load_embedder(cfg, model.folder)) as embedder:
        feed(
            out,
            len(prompts),
            cfg.part_rows,
            "prompts",
            "embedding",
            lambda part: _requests(cfg, prompts, out, part),
            lambda _: embedder(),
        )
    return {"num_prompts": len(prompts)}


def _requests(cfg: Embed, prompts: Rows, out: Out, part: Part) -> PartRequests:
    asked = prompts.table(["id", "prompt"], part.start, part.stop).to_pylist()
    request = EmbedRequest([row["prompt"] for row in asked], cfg.max_tokens)

    def rows(answers: list[Floats], _: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
        vectors_PD = answers[0]
        if cfg.dimensions != "all" and cfg.dimensions < vectors_PD.shape[1]:
            vectors_PD = vectors_PD @ _projection(vectors_PD.shape[1], cfg.dimensions, cfg.seed)
        vectors_PD = unit_rows(vectors_PD)
        rows = [
            {"id": out.row_id(part.start + i), "prompt_id": row["id"], "vector": vectors_PD[i].tolist()}
            for i, row in enumerate(asked)
        ]
        return rows, {}

    return PartRequests([(0, lambda _: request)], rows)


@lru_cache(maxsize=1)
def _projection(before: int, after: int, seed: int) -> Floats:
    """Gaussian random projection, which keeps distances (Johnson and Lindenstrauss)."""
    drawn: Floats = np.random.default_rng(seed).standard_normal((before, after))
    return drawn / float(np.sqrt(after))
