"""Judgements become training rows: best-of-n, or preference pairs (paper sections 3.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.errors import ConfigError, StageError
from alma.sections import Select
from alma.seeds import sample_seed

VERSION = 1

Judgement = dict[str, Any]


def run(cfg: Select, *, judgements: Rows, previous: Rows | None = None, out: Out) -> Metrics:
    """The earlier rounds' rows, then one row per prompt of this round."""
    judgements.expect("judgement")
    schema = "preference" if cfg.pairs else "example"
    rows = _earlier(previous, schema) if previous else []
    num_previous = len(rows)
    num_unparsable = num_unfinished = num_empty = 0
    gains: list[float] = []
    table = judgements.table().to_pylist()
    with out.progress(len(table), "judgements") as progress:
        for prompt_id, group in groupby(table, key=lambda row: str(row["prompt_id"])):
            several = list(group)
            progress.advance(len(several))
            usable = [row for row in several if row["parsed"] and (row["ended"] or not cfg.require_end)]
            num_unparsable += sum(not row["parsed"] for row in several)
            num_unfinished += sum(not row["ended"] for row in several)
            row = pair(cfg, prompt_id, usable) if cfg.pairs else best(cfg, prompt_id, usable)
            if row is None:
                num_empty += 1
                continue
            rows.append(row | {"round": cfg.round})
            scores = [score(cfg, r) for r in usable]
            gains.append(max(scores) - sum(scores) / len(scores))
    if len(rows) == num_previous:
        raise StageError(
            f"no prompt of {judgements.ref} has a usable response: {num_unparsable} of {len(table)} judgements are "
            f"unparsable, {num_unfinished} responses unfinished"
        )
    for index, row in enumerate(rows):
        row["id"] = out.row_id(index)
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS[schema]), schema, cfg.part_rows)
    return {
        "num_rows": len(rows),
        "num_new": len(rows) - num_previous,
        "num_unparsable": num_unparsable,
        "num_unfinished": num_unfinished,
        "num_prompts_without_row": num_empty,
        "mean_gain": float(np.mean(gains)),
    }


def score(cfg: Select, row: Judgement) -> float:
    """The judgement as one number."""
    if cfg.score == "integer":
        return float(row["integer"])
    if cfg.score == "risk_averse":
        return float(row["mean"]) - cfg.risk * float(row["std"])
    return float(row["mean"])


def ranked(cfg: Select, prompt_id: str, rows: Sequence[Judgement]) -> list[Judgement]:
    """Best first; equal scores in an order drawn from the seed, not in that of the checkpoints."""
    rng = np.random.default_rng(sample_seed(cfg.seed, "ties", prompt_id))
    ties = rng.permutation(len(rows))
    order = sorted(range(len(rows)), key=lambda i: (-score(cfg, rows[i]), ties[i]))
    return [rows[i] for i in order]


def best(cfg: Select, prompt_id: str, rows: Sequence[Judgement]) -> dict[str, Any] | None:
    """The best response to one prompt; with a length tolerance, the shortest of those near it (arXiv 2407.19594)."""
    if not rows:
        return None
    order = ranked(cfg, prompt_id, rows)
    chosen = order[0]
    if cfg.length_tolerance is not None:
        near = [row for row in order if score(cfg, row) >= score(cfg, chosen) - cfg.length_tolerance]
        chosen = min(near, key=lambda row: row["num_tokens"])  # the first, so the best, of equally short ones
    return {
        "judgement_id": chosen["id"],
        "prompt_id": prompt_id,
        "prompt": chosen["prompt"],
        "response": chosen["response"],
        "score": score(cfg, chosen),
        "num_tokens": chosen["num_tokens"],
    }


def pair(cfg: Select, prompt_id: str, rows: Sequence[Judgement]) -> dict[str, Any] | None:
    """A preference pair for one prompt; ``None`` where all responses are alike or score alike."""
    order = ranked(cfg, prompt_id, rows)
    rng = np.random.default_rng(sample_seed(cfg.seed, "pair", prompt_id))
    if cfg.pairs == "ordered_pair":
        order = [order[i] for i in sorted(rng.permutation(len(order))[:2])]
    if len(order) < 2:
        return None
    chosen = order[0]
    worse = [row for row in order[1:] if row["response"] != chosen["response"] and score(cfg, row) < score(cfg, chosen)]
    if not worse:
        return None
    rejected = worse[int(rng.integers(len(worse)))] if cfg.pairs == "best_vs_random" else worse[-1]
    return {
        "chosen_id": chosen["id"],
        "rejected_id": rejected["id"],
        "prompt_id": prompt_id,
        "prompt": chosen["prompt"],
        "chosen": chosen["response"],
        "rejected": rejected["response"],
        "chosen_score": score(cfg, chosen),
        "rejected_score": score(cfg, rejected),
    }


def _earlier(previous: Rows, schema: str) -> list[dict[str, Any]]:
    if previous.manifest.schema_name == "pair" and schema == "example":
        seeds = previous.table().to_pylist()
        return [
            {
                "judgement_id": None,
                "prompt_id": row["id"],
                "round": 1,
                "prompt": row["prompt"],
                "response": row["response"],
            }
            for row in seeds
        ]
    if previous.manifest.schema_name != schema:
        raise ConfigError(f"{previous.ref} holds {previous.manifest.schema_name} rows; {schema} rows cannot join them")
    return list(previous.table().to_pylist())
