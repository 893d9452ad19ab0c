"""Filled-in files → rows that ``ingest`` takes as scores."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alma.convert.question import Converted
from alma.convert.split import write as write_files
from alma.errors import ConfigError, DataError
from alma.prompts.conversation import Message, column
from alma.regular import check_regular
from alma.sheet import argilla, label_studio
from alma.sheet.agreement import Agreement, agreements
from alma.sheet.item import Item
from alma.sheet.key import read_key
from alma.sheet.score import Given, Scores
from alma.sheet.spreadsheet import read_csv
from alma.sources.row import Bad, shown
from alma.sources.rows import read_rows
from alma.text.normalise import normalise

LEARN, HOLD = "scores.jsonl", "heldout.jsonl"

READERS = (
    (argilla.is_record, argilla.read_record),
    (label_studio.is_task, label_studio.read_task),
)
"""Whether a row of a JSON file is of that tool, and what reads it."""


class Read(NamedTuple):
    """What was read: rows of each file that was written, scores of each rater, how raters agree."""

    num_rows: dict[str, int]
    num_scores: dict[str, int]
    agreements: list[Agreement]
    num_missing: int
    """Rows of the key that nobody scored."""


def read(
    folder: Path, files: Sequence[Path], out: Path, *, num_held: int | None = None, partial: bool = False, seed: int = 0
) -> Read:
    """Writes ``scores.jsonl``, and ``heldout.jsonl`` with the rows of ``num_held`` prompts, into folder ``out``.

    ``folder`` is the one that ``write`` left; ``files`` were filled in for it. A row has the mean of its raters'
    scores. ``partial``: rows without a score are left out, else an error. Raises ``DataError`` with all that is wrong,
    ``ConfigError`` where too much is to be held out.
    """
    scores = Scores(read_key(folder))
    for path in files:
        for given in _given(path):
            scores.add(given)
    scores.check(partial=partial)
    scored = {item: row for item in scores.key.values() if (row := _row(item, scores)) is not None}
    held = _held(scored, num_held, seed) if num_held is not None else frozenset()
    written = {LEARN: [row for item, row in scored.items() if normalise(item.asked) not in held]}
    if held:
        written[HOLD] = [row for item, row in scored.items() if normalise(item.asked) in held]
    write_files(Converted(written, 0), out)
    return Read(
        {name: len(each) for name, each in written.items()},
        {rater: len(each) for rater, each in sorted(scores.of_rater.items())},
        agreements(scores.of_rater),
        len(scores.missing()),
    )


def _given(path: Path) -> Iterator[Given]:
    check_regular(path)
    if path.suffix.lower() == ".csv":
        yield from read_csv(path)
        return
    for row in read_rows(path):
        if isinstance(row, Bad):
            raise DataError(f"{path} line {row.line}: {row.detail}")
        reader = next((read for is_one, read in READERS if is_one(row.values)), None)
        if reader is None:
            raise DataError(
                f"{path} line {row.line}: {shown(row.values)} is no row of a sheet; read are filled-in CSV, records of "
                "Argilla (dataset.records.to_json) and exports of Label Studio (JSON, JSON-MIN)"
            )
        try:
            yield from reader(path, row)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} line {row.line}: {shown(row.values)}: not as exported ({error!r})") from error


def _row(item: Item, scores: Scores) -> dict[str, Any] | None:
    """What ``ingest`` reads of it, a conversation as its turns; ``None`` where nobody scored it."""
    given = [of[item.id] for of in scores.of_rater.values() if item.id in of]
    if not given:
        return None
    turns = [*item.earlier, Message("user", item.prompt), Message("assistant", item.response)]
    said = {"messages": column(turns)} if item.earlier else {"prompt": item.prompt, "response": item.response}
    score = {"score": sum(given) / len(given), "num_raters": len(given)}
    return {"id": item.id, **said, **score, "source": item.source}


def _held(items: Iterable[Item], num_held: int, seed: int) -> frozenset[str]:
    """The prompts, normalised, that are held out: drawn by the seed from all, and at least one is left."""
    there = sorted({normalise(item.asked) for item in items})
    if not 0 < num_held < len(there):
        raise ConfigError(f"--held-out {num_held}: there are {len(there)} prompts, and some are to be learnt from")
    return frozenset(random.Random(seed).sample(there, num_held))
