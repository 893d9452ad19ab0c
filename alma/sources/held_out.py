"""Prompts of a held-out set that people also brought for training: refused, left out, or kept, and always counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.errors import DataError
from alma.prompts.conversation import questions
from alma.sections import IngestRows, Likeness
from alma.store.waiting import waiting
from alma.text.overlap import KINDS, Known, overlap_metric

NAMES = {"seeds": "SFT seeds", "scores": "judge's seeds"}
"""Port of ``ingest`` → what people call the set."""

NUM_NAMED = 5


def held_out(
    cfg: IngestRows, rows: list[dict[str, Any]], others: Mapping[str, Rows], out: Out
) -> tuple[list[dict[str, Any]], Metrics]:
    """The rows that stay, and how many are in each of ``others`` (port → rows), by kind; a row counts once in each.

    Raises ``DataError`` for prompts that are word for word in one of them, unless ``cfg.overlap`` says otherwise, and
    ``Stopped`` where the process was asked to stop meanwhile.
    """
    if cfg.likeness is None:
        return rows, {}
    with waiting(cfg.source, "is being compared with what is trained on for"):
        return _compared(cfg, cfg.likeness, rows, others, out)


def _compared(
    cfg: IngestRows, likeness: Likeness, rows: list[dict[str, Any]], others: Mapping[str, Rows], out: Out
) -> tuple[list[dict[str, Any]], Metrics]:
    known = Known([questions(row)[-1] for row in rows], likeness, out.check_stop)
    metrics: Metrics = {}
    dropped: set[int] = set()
    for port, other in others.items():
        theirs = other.table(["source_id", "earlier", "prompt"]).to_pylist()
        found = _found(known, theirs, out)
        exact = [place for place, (kind, _) in found.items() if kind == "exact"]
        if exact and cfg.overlap == "refuse":
            raise DataError(_refusal(cfg, rows, exact, found, port, len(theirs)))
        if found:
            out.note(_said(cfg, found, port, len(rows)))
        if cfg.overlap == "drop":
            dropped |= found.keys()
        metrics |= {overlap_metric(port, kind): sum(each == kind for each, _ in found.values()) for kind in KINDS}
    if len(dropped) == len(rows):
        raise DataError(f"{cfg.source}: no row is left: all prompts are in what is trained on, and overlap = 'drop'")
    metrics["num_overlapping_dropped"] = len(dropped)
    return [row for place, row in enumerate(rows) if place not in dropped], metrics


def _found(known: Known, theirs: Sequence[Mapping[str, Any]], out: Out) -> dict[int, tuple[str, str]]:
    """Place of ours → the surest kind, and the id of the first of theirs that is so like it; in the order of ours."""
    found: dict[int, tuple[str, str]] = {}
    for row in theirs:
        out.check_stop()
        for text in questions(row):
            for place, kind in known.matches(text).items():
                if place not in found or KINDS.index(kind) < KINDS.index(found[place][0]):
                    found[place] = (kind, row["source_id"])
    return dict(sorted(found.items()))


def _named(rows: Sequence[Mapping[str, Any]], places: Sequence[int], found: Mapping[int, tuple[str, str]]) -> str:
    lines = [f"  {rows[at]['id']}: {rows[at]['prompt'][:80]!r} (there {found[at][1]})\n" for at in places[:NUM_NAMED]]
    more = f"  … and {len(places) - NUM_NAMED} more\n" if len(places) > NUM_NAMED else ""
    return "".join(lines) + more


def _refusal(
    cfg: IngestRows,
    rows: Sequence[Mapping[str, Any]],
    exact: Sequence[int],
    found: Mapping[int, tuple[str, str]],
    port: str,
    num_theirs: int,
) -> str:
    return (
        f"{cfg.source}: {len(exact)} of {len(rows)} prompts are among the {num_theirs} {NAMES[port]}, case and white "
        f"space aside:\n{_named(rows, exact, found)}What is measured on them is memory. Remedy: remove them from one "
        "of the two files, or set overlap = 'drop' in this source's section to have them left out here, 'keep' to have "
        "them counted"
    )


def _said(cfg: IngestRows, found: Mapping[int, tuple[str, str]], port: str, num_rows: int) -> str:
    counts = [(kind, sum(each == kind for each, _ in found.values())) for kind in KINDS]
    told = ", ".join(f"{num} {HOW[kind]}" for kind, num in counts if num)
    done = "left out" if cfg.overlap == "drop" else "kept"
    return f"{cfg.source}: {len(found)} of {num_rows} prompts are in the {NAMES[port]} ({told}); they are {done}"


HOW = {"exact": "word for word", "near": "nearly", "ngrams": "with most of their words in a row"}
"""Kind → in words."""
