"""The data sets that an iteration begins with, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from alma.artifact import Model, Rows
from alma.errors import ConfigError, DataError
from alma.sections import Imitate
from alma.stages.imitate.room import Room
from alma.text.normalise import normalise
from alma.text.shots import DataSet, Shot
from alma.text.turns import answer_prompt, markers


def check_ports(cfg: Imitate, previous: Rows | None, judge: Model | None, embedder: Model | None) -> None:
    """Raises ``ConfigError`` for a port that these settings need, or that they have no use for."""
    if (previous is None) != (cfg.iteration == 1):
        needs = "needs no" if previous else "needs the"
        raise ConfigError(
            f"imitate.iteration = {cfg.iteration} {needs} input previous, the rows of the iteration before"
        )
    if cfg.num_answers > 1 and judge is None:
        raise ConfigError(f"imitate.num_answers = {cfg.num_answers}: the input judge is needed to choose among them")
    if cfg.retrieval == "nearest" and cfg.embedding == "sentence-transformers" and embedder is None:
        raise ConfigError('imitate.embedding = "sentence-transformers" needs such a model at the input embedder')


def data_sets(cfg: Imitate, seeds: Rows, previous: Rows | None) -> list[DataSet]:
    """D0 (the seeds) to D(t-1). Raises ``DataError`` for rows that no iteration can begin with."""
    seeds.expect("pair")
    rows = seeds.table().to_pylist()
    _check_seeds(cfg, str(seeds.ref), rows)
    sets = [_data_set(rows)]
    if previous is not None:
        previous.expect("imitation")
        earlier = previous.table(["id", "prompt", "response", "iteration"]).to_pylist()
        earlier.sort(key=lambda row: row["iteration"])
        found = {number: list(several) for number, several in groupby(earlier, key=lambda row: row["iteration"])}
        if list(found) != list(range(1, cfg.iteration)):
            raise DataError(
                f"{previous.ref} holds the iterations {', '.join(map(str, found)) or 'none'}, and "
                f"imitate.iteration = {cfg.iteration} goes on from 1 to {cfg.iteration - 1}"
            )
        sets += [_data_set(several) for several in found.values()]
    return sets


def check_room(cfg: Imitate, room: Room, seeds: Rows) -> None:
    """Raises ``DataError`` for seeds that do not fit into the model's context even alone."""
    if room.context is None:
        return
    rows = seeds.table(["source_id", "prompt", "response"]).to_pylist()
    texts = [answer_prompt(cfg.turns, [(row["prompt"], row["response"])], "") for row in rows]
    long = [row["source_id"] for row, fits in zip(rows, room.fits(texts), strict=True) if not fits]
    if long:
        raise DataError(
            f"{len(long)} of the {len(rows)} seeds {seeds.ref} are longer than the model's context of {room.context} "
            f"tokens: {_named(long)}; shorten or remove them"
        )


def _data_set(rows: Iterable[dict[str, Any]]) -> DataSet:
    return DataSet(Shot(row["id"], row["prompt"], row["response"]) for row in rows)


def _check_seeds(cfg: Imitate, ref: str, rows: list[dict[str, Any]]) -> None:
    if len(rows) < cfg.num_shots:
        raise DataError(
            f"{ref} has {len(rows)} seeds and imitate.num_shots = {cfg.num_shots} are shown at once; bring more seeds "
            "or show fewer"
        )
    talks = [row["source_id"] for row in rows if row["earlier"]]
    if talks:
        raise DataError(
            f"{ref}: seeds {_named(talks)} stand in conversations, and single questions are shown; ingest them with "
            'turns = "first"'
        )
    first: dict[str, str] = {}
    for row in rows:
        form = normalise(row["prompt"])
        if form in first:
            raise DataError(
                f"{ref}: seeds {_named([first[form], row['source_id']])} ask the same, {row['prompt'][:60]!r}"
            )
        first[form] = row["source_id"]
        for marker in markers(cfg.turns):
            if marker in row["prompt"] or marker in row["response"]:
                raise DataError(
                    f"{ref}: seed {_named([row['source_id']])} contains {marker!r}, which ends a turn; choose other "
                    "imitate.turns or change the seed"
                )


def _named(source_ids: list[str]) -> str:
    shown = ", ".join(repr(each) for each in source_ids[:5])
    return shown if len(source_ids) <= 5 else f"{shown} and {len(source_ids) - 5} more"
