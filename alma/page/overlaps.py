"""What sets of prompts had in common, and what became of it: from manifests to a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alma.artifact import Manifest
from alma.page.figure import Table
from alma.page.numbers import Overlap, Point
from alma.text.overlap import KINDS, overlap_metric

POOL = "pool"
OTHERS = {
    "evaluation": "evaluation prompts",
    "heldout": "held-out scores",
    "seeds": "SFT seeds",
    "scores": "judge's seeds",
}
"""Port that a set was compared by → what the page calls it."""

HELD_OUT = {"prompts": "evaluation prompts", "scores": "held-out scores"}
"""Kind of rows that were taken in → what the page calls them where they are held out."""


def overlaps(manifests: Iterable[Manifest]) -> tuple[Overlap, ...]:
    """What the stages that compare sets have counted, one of each pair; of other stages nothing."""
    found = [each for manifest in manifests for each in _of(manifest)]
    return tuple(sorted(found, key=lambda each: (each.ours, each.theirs)))


def _of(manifest: Manifest) -> list[Overlap]:
    metrics = manifest.metrics
    if manifest.stage == "curate":
        ours, num, dropped = POOL, int(metrics["num_candidates"]), True
    else:
        ours = HELD_OUT.get(str(manifest.section.get("kind")), "")
        num, dropped = int(metrics.get("num_rows", 0)), manifest.section.get("overlap") == "drop"
        num += int(metrics.get("num_overlapping_dropped", 0))
    found = []
    for port, theirs in OTHERS.items():
        counts = {kind: metrics.get(overlap_metric(port, kind)) for kind in KINDS}
        if counts["exact"] is not None:
            whole = {kind: int(count or 0) for kind, count in counts.items()}
            found.append(Overlap(ours=ours, theirs=theirs, **whole, num=num, dropped=dropped))
    if ours == POOL:
        same = {"exact": int(metrics["num_duplicate"]), "near": int(metrics["num_near_duplicate"])}
        found.append(Overlap(ours=POOL, theirs="itself", **same, ngrams=None, num=num, dropped=True))
    return found


def table(points: Sequence[Point]) -> tuple[str, Table] | None:
    """A row per pair of sets; ``None`` where none was compared."""
    rows = tuple(
        (
            f"{each.ours} against {each.theirs}",
            f"{each.num:,}",
            f"{each.exact:,}",
            f"{each.near:,}",
            "–" if each.ngrams is None else f"{each.ngrams:,}",
            "dropped" if each.dropped else "kept",
        )
        for point in points
        for each in point.overlaps
    )
    columns = ("sets", "compared", "word for word", "nearly", "most of its words in a row", "and were")
    return ("Prompts that two sets have in common", Table(columns, rows)) if rows else None
