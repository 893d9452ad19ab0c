"""k-means over a pool of prompts, in a time that a pool of a hundred million takes too.

Lloyd's algorithm costs prompts × clusters at every step, so one of 10^8 prompts in 10^6 clusters would take months of a
machine. Above a bound the pool is therefore split twice (hierarchical k-means, as of vocabulary trees, Nistér and
Stewénius 2006, and of data curation, arXiv 2405.15613): in about √K groups, whose means are found on a sample, and each
group in its share of the K clusters. That costs prompts × √K, twice.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[Any]
"""Of float32 or float64."""

AT_ONCE = 50_000_000
"""Prompts × clusters up to which all is clustered at once."""

SAMPLE = 256
"""Prompts for each group, on which the groups' means are found (as faiss takes them)."""

STEPS = 25
"""Of Lloyd's algorithm, at most, in a pool that is split twice."""


def fitting(vectors_PD: Vectors, num_clusters: int) -> Vectors:
    """As ``cluster`` computes with them: float64, or as they are stored where a pool is large."""
    return vectors_PD.astype(np.float64) if _at_once(len(vectors_PD), num_clusters) else vectors_PD


def cluster(vectors_PD: Vectors, num_clusters: int, seed: int) -> Ints:
    """k-means labels (P,); at most one cluster per prompt."""
    from sklearn.cluster import KMeans

    wanted = min(num_clusters, len(vectors_PD))
    if _at_once(len(vectors_PD), num_clusters):
        labels: Ints = KMeans(wanted, n_init=1, random_state=seed).fit_predict(vectors_PD).astype(np.int64)
        return labels
    groups_P = _groups(vectors_PD, round(wanted**0.5), seed)
    order = np.argsort(groups_P, kind="stable")
    ends = np.cumsum(np.bincount(groups_P))
    labels, num_before = np.empty(len(vectors_PD), dtype=np.int64), 0
    for places, num in zip(np.split(order, ends[:-1]), _shares(np.diff(ends, prepend=0), wanted), strict=True):
        if num:
            labels[places] = num_before + _lloyd(vectors_PD[places], num, seed).labels_
            num_before += num
    return labels


def _at_once(num_prompts: int, num_clusters: int) -> bool:
    return num_prompts * min(num_clusters, num_prompts) <= AT_ONCE


def _groups(vectors_PD: Vectors, num_groups: int, seed: int) -> Ints:
    """The group of each prompt (P,)."""
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(vectors_PD), min(len(vectors_PD), SAMPLE * num_groups), replace=False))
    groups: Ints = _lloyd(vectors_PD[sample], num_groups, seed).predict(vectors_PD).astype(np.int64)
    return groups


def _shares(sizes_G: Ints, wanted: int) -> Ints:
    """How many of the clusters each group gets (G,): as its prompts are of all, one at least, no more than prompts."""
    exact = sizes_G * (wanted / sizes_G.sum())
    shares: Ints = np.clip(np.floor(exact).astype(np.int64), np.minimum(sizes_G, 1), sizes_G)
    # What rounding left goes to those that lost most by it; what the least of one took comes from those that have most.
    while missing := int(wanted - shares.sum()):
        able = (shares < sizes_G) if missing > 0 else (shares > 1)
        lost = np.where(able, (exact - shares) * np.sign(missing), -np.inf)
        places = np.argsort(-lost, kind="stable")[: min(abs(missing), int(able.sum()))]
        shares[places] += np.sign(missing)
    return shares


def _lloyd(vectors_ND: Vectors, num_clusters: int, seed: int) -> KMeans:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # fewer different prompts than clusters: some clusters stay empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(num_clusters, n_init=1, max_iter=STEPS, random_state=seed).fit(vectors_ND)
