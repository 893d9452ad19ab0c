"""Candidates become a pool: filters, exact and near duplicates, decontamination (paper section 3.1; details ours)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from alma.artifact import Metrics, Rows
from alma.artifact.out import Out
from alma.artifact.records import PROMPT
from alma.errors import StageError
from alma.prompts.conversation import questions
from alma.sections import Curate
from alma.text.matching import full_matches
from alma.text.normalise import normalise
from alma.text.overlap import KINDS, Known, char_grams, overlap_metric

VERSION = 2

NUM_PERMUTATIONS = 128
NUM_BANDS = 16
"""MinHash of 128 permutations in 16 bands of 8: two prompts at Jaccard 0.7 meet in a band with probability 0.61, at 0.8
with 0.95, and are then compared by their whole signatures."""


def run(
    cfg: Curate,
    *,
    candidates: Rows,
    evaluation: Rows | None = None,
    heldout: Rows | None = None,
    seeds: Rows | None = None,
    out: Out,
) -> Metrics:
    """Keeps the first of every group of duplicates, in candidate order; counts what is dropped by reason.

    No prompt of the pool gives away one of ``evaluation`` and ``heldout`` (scores), or copies one of the ``seeds``
    that it was written after; a candidate that does several counts as the first of them. Raises ``StageError`` where
    nothing is left, and ``Stopped`` between two candidates.
    """
    given = {"evaluation": evaluation, "heldout": heldout, "seeds": seeds}
    others = {name: _known(rows, cfg, out) for name, rows in given.items() if rows is not None}
    reasons: Counter[str] = Counter()
    seen: set[bytes] = set()
    kept: list[int] = []
    near = None if cfg.near_duplicate == "off" else NearDuplicates(cfg.near_duplicate, cfg.seed)
    rows = candidates.table(["id", "prompt", "ended"])
    unmatched = _unmatched(cfg, _in_turn(rows))
    with out.progress(rows.num_rows, "candidates") as progress:
        for place, row in enumerate(_in_turn(rows)):
            out.check_stop()
            progress.advance()
            text = row["prompt"]
            form = normalise(text)
            digest = hashlib.blake2b(form.encode(), digest_size=16).digest()
            reason = _unfit(cfg, row) or next(unmatched) or _flaw(cfg, text)
            if reason is None:
                reason = _overlap(others, text)
            if reason is None and digest in seen:
                reason = "duplicate"
            if reason is None and near is not None and near.meets(form):
                reason = "near_duplicate"
            if reason is not None:
                reasons[reason] += 1
                continue
            seen.add(digest)
            kept.append(place)
    if not kept:
        raise StageError(f"none of {rows.num_rows} candidates is usable; dropped by reason: {dict(reasons)}")
    usable = rows.take(pa.array(kept))
    columns = {
        "id": [out.row_id(number) for number in range(len(kept))],
        "candidate_id": usable["id"],
        "prompt": usable["prompt"],
    }
    out.write(pa.table(columns, schema=PROMPT), "prompt", cfg.part_rows)
    pairs = [overlap_metric(name, kind) for name in others for kind in KINDS]
    dropped = {name: reasons[name.removeprefix("num_")] for name in sorted([*(f"num_{r}" for r in REASONS), *pairs])}
    return {"num_candidates": rows.num_rows, "num_prompts": len(kept), **dropped}


REASONS = ("unfinished", "length", "pattern", "marker", "repetition", "duplicate", "near_duplicate")
"""Why a candidate is dropped, beside what it has in common with other sets."""


def _in_turn(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Row by row: a hundred million of them are not Python objects all at once."""
    for batch in rows.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _known(rows: Rows, cfg: Curate, out: Out) -> Known:
    """All that the rows ask, in the midst of conversations too."""
    given = rows.table(["earlier", "prompt"]).to_pylist()
    return Known(list(dict.fromkeys(text for row in given for text in questions(row))), cfg.likeness, out.check_stop)


def _overlap(others: Mapping[str, Known], text: str) -> str | None:
    """The first set that ``text`` has something of, and how: a reason, named as its metric."""
    found = ((name, known.kind(text)) for name, known in others.items())
    return next((overlap_metric(name, kind).removeprefix("num_") for name, kind in found if kind), None)


def repetition(text: str) -> float:
    """Share of the word 3-grams that repeat an earlier one, 0..1."""
    words = text.split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


class NearDuplicates:
    """Remembers texts; ``meets`` says whether one is within ``threshold`` of an earlier one (MinHash, Jaccard)."""

    def __init__(self, threshold: float, seed: int) -> None:
        from rensa import RMinHash, RMinHashLSH

        self._minhash = RMinHash
        self._threshold = threshold
        self._seed = seed
        self._index = RMinHashLSH(threshold=threshold, num_perm=NUM_PERMUTATIONS, num_bands=NUM_BANDS)
        self._signatures: list[object] = []

    def meets(self, text: str) -> bool:
        """Whether an earlier text is a near duplicate; remembers ``text`` if not."""
        signature = self._minhash(num_perm=NUM_PERMUTATIONS, seed=self._seed)
        signature.update(list(char_grams(text)))
        for place in self._index.query(signature):
            if signature.jaccard(self._signatures[place]) >= self._threshold:
                return True
        self._index.insert(len(self._signatures), signature)
        self._signatures.append(signature)
        return False


def _unfit(cfg: Curate, row: Mapping[str, Any]) -> str | None:
    """Why a candidate is dropped whatever it says."""
    if cfg.require_end and not row["ended"]:
        return "unfinished"
    if not cfg.min_chars <= len(row["prompt"]) <= cfg.max_chars:
        return "length"
    return None


def _unmatched(cfg: Curate, rows: Iterator[Mapping[str, Any]]) -> Iterator[str | None]:
    """For each candidate that is not unfit, whether it is dropped for the pattern."""
    fit = (row for row in rows if _unfit(cfg, row) is None)
    if cfg.pattern is None:
        return (None for _ in fit)
    named = ((f"candidate {row['id']}", row["prompt"]) for row in fit)
    return (None if found else "pattern" for found in full_matches("curate.pattern", cfg.pattern, named))


def _flaw(cfg: Curate, text: str) -> str | None:
    if any(marker in text for marker in cfg.markers):
        return "marker"
    if repetition(text) > cfg.max_repetition:
        return "repetition"
    return None
