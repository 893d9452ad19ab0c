"""Judgements become training rows: best-of-n, or preference pairs (paper sections 3.2 and 5.3)."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.errors import ConfigError, DataError, StageError
from alma.prompts.conversation import asked_text
from alma.sections import Select
from alma.selection.readings import Judgement, score
from alma.selection.rules import select

VERSION = 3


def run(cfg: Select, *, judgements: Rows, previous: Rows | None = None, out: Out) -> Metrics:
    """The earlier rounds' rows, then one row per prompt of this round.

    Raises ``StageError`` where no prompt has a usable response, ``DataError`` for judgements of people's responses.
    """
    judgements.expect("judgement")
    schema = cfg.makes
    rows = _earlier(previous, schema) if previous else []
    num_previous = len(rows)
    num_unparsable = num_unfinished = num_marked = num_empty = 0
    gains: list[float] = []
    table = judgements.table().to_pylist()
    if any(row["num_tokens"] is None or row["ended"] is None for row in table):
        raise DataError(
            f"{judgements.ref} rates responses that people brought, of which nobody knows whether they ended and how "
            "long they are; give judgements of responses that a model wrote"
        )
    with out.progress(len(table), "judgements") as progress:
        for _, group in groupby(table, key=lambda row: str(row["prompt_id"])):
            several = list(group)
            progress.advance(len(several))
            usable = [row for row in several if _usable(cfg, row)]
            num_unparsable += sum(not row["parsed"] for row in several)
            num_unfinished += sum(not row["ended"] for row in several)
            num_marked += sum(row["marker"] is not None for row in several)
            selected = select(cfg, asked_text(several[0]), usable)
            if selected is None:
                num_empty += 1
                continue
            rows.append(_row(cfg, *selected) | {"round": cfg.round})
            scores = [score(cfg, r) for r in usable]
            gains.append(max(scores) - sum(scores) / len(scores))
    if len(rows) == num_previous:
        raise StageError(
            f"no prompt of {judgements.ref} has a usable response: {num_unparsable} of {len(table)} judgements are "
            f"unparsable, {num_unfinished} responses unfinished, {num_marked} hold a marker of a template"
        )
    for index, row in enumerate(rows):
        row["id"] = out.row_id(index)
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS[schema]), schema, cfg.part_rows)
    return {
        "num_rows": len(rows),
        "num_new": len(rows) - num_previous,
        "num_unparsable": num_unparsable,
        "num_unfinished": num_unfinished,
        "num_marked": num_marked,
        "num_prompts_without_row": num_empty,
        "mean_gain": float(np.mean(gains)),
    }


def _usable(cfg: Select, judgement: Judgement) -> bool:
    """Whether it can be chosen: a response that holds a template's marker may have told the judge its rating."""
    return bool(judgement["parsed"] and judgement["marker"] is None and (judgement["ended"] or not cfg.require_end))


def _row(cfg: Select, chosen: Judgement, rejected: Judgement | None = None) -> dict[str, Any]:
    """A row to train on: a response, or a preference pair."""
    prompt = {name: chosen[name] for name in ("prompt_id", "earlier", "prompt")}
    if rejected is None:
        return prompt | {
            "judgement_id": chosen["id"],
            "response": chosen["response"],
            "score": score(cfg, chosen),
            "num_tokens": chosen["num_tokens"],
        }
    return prompt | {
        "chosen_id": chosen["id"],
        "rejected_id": rejected["id"],
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
                "earlier": row["earlier"],
                "prompt": row["prompt"],
                "response": row["response"],
            }
            for row in seeds
        ]
    if previous.manifest.schema_name != schema:
        raise ConfigError(f"{previous.ref} holds {previous.manifest.schema_name} rows; {schema} rows cannot join them")
    return list(previous.table().to_pylist())
