"""Data sets D0 (the seeds), D1, D2, …, and which of their rows are shown as shots.

Axes: Q questions, S rows of a data set, K neighbours, D dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from alma.statistics import Floats
from alma.text.normalise import normalise


class Shot(NamedTuple):
    """A row that may be shown."""

    id: str
    question: str
    answer: str


class DataSet:
    """The rows of one iteration; equal questions are those of one ``normalise``d form."""

    def __init__(self, shots: Iterable[Shot]) -> None:
        self.shots = tuple(shots)
        self.forms = [normalise(shot.question) for shot in self.shots]
        self._most_alike = max(Counter(self.forms).values(), default=0)

    def __len__(self) -> int:
        return len(self.shots)

    def reach(self, count: int) -> int:
        """How many rows hold at least ``count`` whose question is not a given one."""
        return min(len(self), count + self._most_alike)

    def take(self, places: Iterable[int], count: int, question: str) -> list[int]:
        """The first ``count`` of ``places`` that ask something else than ``question``, whose answer they would show."""
        form = normalise(question)
        return [place for place in map(int, places) if self.forms[place] != form][:count]


def split(num_shots: int, num_sets: int) -> list[int]:
    """Shots of each data set: one of each but the first, which gives the rest (the authors' code)."""
    assert 1 <= num_sets <= num_shots, f"{num_shots} shots of {num_sets} data sets"
    return [num_shots - (num_sets - 1)] + [1] * (num_sets - 1)


def draw(sets: Sequence[DataSet], num_shots: int, seed: int, question: str | None = None) -> list[Shot]:
    """Random shots in random order, none twice and none that asks ``question``."""
    rng = np.random.default_rng(seed)
    found: list[Shot] = []
    for rows, count in zip(sets, split(num_shots, len(sets)), strict=True):
        wanted = min(len(rows), count) if question is None else rows.reach(count)
        places = rng.choice(len(rows), size=wanted, replace=False)
        taken = places if question is None else rows.take(places, count, question)
        found.extend(rows.shots[place] for place in taken)
    return [found[place] for place in rng.permutation(len(found))]


def nearest(
    sets: Sequence[DataSet],
    vectors: Sequence[Floats],
    num_shots: int,
    questions_Q: Sequence[str],
    vectors_QD: Floats,
) -> list[list[Shot]]:
    """The nearest rows of each data set by the cosine of ``vectors`` (each (S, D)), the nearest of all shown last.

    Last because a model heeds most what it read last. Exact: one index per data set, all questions asked at once.
    """
    from sklearn.neighbors import NearestNeighbors

    found: list[list[tuple[float, Shot]]] = [[] for _ in questions_Q]
    if not questions_Q:
        return []
    for rows, vectors_SD, count in zip(sets, vectors, split(num_shots, len(sets)), strict=True):
        index = NearestNeighbors(n_neighbors=rows.reach(count), metric="cosine", algorithm="brute").fit(vectors_SD)
        distances_QK, places_QK = index.kneighbors(vectors_QD)
        for shots, question, distances, places in zip(found, questions_Q, distances_QK, places_QK, strict=True):
            distance = dict(zip(map(int, places), map(float, distances), strict=True))
            shots.extend((distance[place], rows.shots[place]) for place in rows.take(distance, count, question))
    return [[shot for _, shot in sorted(shots, key=lambda each: -each[0])] for shots in found]
