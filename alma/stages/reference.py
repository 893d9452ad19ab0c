"""What DPO's reference model thinks of preference pairs (arXiv 2305.18290): once, before any training on them."""

from __future__ import annotations

from typing import Any

from alma.artifact import Metrics, Model, Rows
from alma.artifact.out import Out
from alma.engines import PairLogprobs, lazy, load_reference
from alma.errors import DataError
from alma.sections import Reference

VERSION = 1

Known = dict[tuple[str, str], dict[str, Any]]
"""Rows by the judgements of their two sides."""


def run(cfg: Reference, *, model: Model, rows: Rows, previous: Rows | None = None, out: Out) -> Metrics:
    """One row per pair, in their order; those of ``previous``, the same model's, are taken over.

    A pair that training would set aside (too long, or no continuation of its prompt's tokens) has no numbers. Raises
    ``DataError`` where ``previous`` is of another model or arithmetic.
    """
    rows.expect("preference")
    known = _known(cfg, model, previous) if previous else {}
    with lazy(lambda: load_reference(cfg, model.folder)) as reference:
        for part, progress in out.each(len(rows), cfg.part_rows, "pairs"):
            names = ["id", "chosen_id", "rejected_id", "earlier", "prompt", "chosen", "rejected"]
            given = rows.table(names, part.start, part.stop).to_pylist()
            new = [row for row in given if _sides(row) not in known]
            tokens: list[int] = []
            read = reference().read(new, on_tokens=tokens.append) if new else []
            found = {row["id"]: _columns(logprobs) for row, logprobs in zip(new, read, strict=True)}
            found |= {row["id"]: known[_sides(row)] for row in given if _sides(row) in known}
            table = [
                {
                    "id": out.row_id(part.start + i),
                    "preference_id": row["id"],
                    "checkpoint_id": str(model.ref),
                    "chosen_id": row["chosen_id"],
                    "rejected_id": row["rejected_id"],
                    **found[row["id"]],
                }
                for i, row in enumerate(given)
            ]
            progress.advance(len(given), sum(tokens))
            counts = {
                "num_tokens": sum(tokens),
                "num_taken_over": len(given) - len(new),
                "num_set_aside": sum(row["digest"] is None for row in table),
            }
            out.publish(part, "reference", table, counts)
    return {}


def _sides(row: dict[str, Any]) -> tuple[str, str]:
    return row["chosen_id"], row["rejected_id"]


def _columns(logprobs: PairLogprobs | None) -> dict[str, Any]:
    if logprobs is None:
        return {"chosen_logprob": None, "rejected_logprob": None, "digest": None}
    return {
        "chosen_logprob": logprobs.chosen,
        "rejected_logprob": logprobs.rejected,
        "digest": logprobs.digest,
    }


def _known(cfg: Reference, model: Model, previous: Rows) -> Known:
    previous.expect("reference")
    given = previous.manifest.inputs.get("model")
    if given != str(model.ref):
        raise DataError(f"{previous.ref} is what {given} thinks and the pairs are for {model.ref}: leave previous out")
    section = previous.manifest.section
    for name in ("engine", "dtype", "max_tokens"):
        if section.get(name) != getattr(cfg, name):
            raise DataError(
                f"{previous.ref} was read with {name} = {section.get(name)!r} and the pairs are with "
                f"{getattr(cfg, name)!r}: leave previous out, or set it so"
            )
    return {
        _sides(row): {name: row[name] for name in ("chosen_logprob", "rejected_logprob", "digest")}
        for row in previous.table().to_pylist()
    }
