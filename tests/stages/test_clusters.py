"""Clusters of pools that are too large for Lloyd's algorithm over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.stages.diversify import clusters
from alma.stages.diversify.clusters import Vectors, cluster, fitting


def heaps(num_heaps: int, size: int) -> Vectors:
    """Prompts of heaps that lie apart, a heap's prompts next to each other in number."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(num_heaps, 1, 16)) * 10 + rng.normal(size=(num_heaps, size, 16)) * 0.01).reshape(-1, 16)


def cost(vectors_PD: Vectors, labels_P: clusters.Ints) -> float:
    """The mean squared distance of a prompt from its cluster's mean."""
    parts = [vectors_PD[labels_P == label] for label in np.unique(labels_P)]
    return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts) / len(vectors_PD))


def test_a_large_pool_is_split_nearly_as_well_as_by_lloyd_s_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(1500, 8))
    at_once = cluster(vectors, 60, seed=0)
    monkeypatch.setattr(clusters, "AT_ONCE", 0)
    twice = cluster(vectors, 60, seed=0)
    assert (twice == cluster(vectors, 60, seed=0)).all()
    assert len(np.unique(twice)) == 60
    assert twice.max() < 60
    everything = cost(vectors, np.zeros(1500, dtype=np.int64))
    assert everything - cost(vectors, twice) > 0.9 * (everything - cost(vectors, at_once))


def test_what_lies_apart_is_in_different_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "AT_ONCE", 0)
    labels = cluster(heaps(12, 40), 48, seed=0).reshape(12, 40)
    found = [set(each) for each in labels.tolist()]
    assert sum(map(len, found)) == len(set().union(*found)), "two heaps share a cluster"


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any),
    share=st.floats(0.0, 1.0),
)
def test_groups_get_the_clusters_that_are_wanted_and_no_more_than_they_have_prompts(
    sizes: list[int], share: float
) -> None:
    given = np.array(sizes, dtype=np.int64)
    least = int((given > 0).sum())
    wanted = least + int(share * (int(given.sum()) - least))
    shares = clusters._shares(given, wanted)
    assert shares.sum() == wanted
    assert (shares <= given).all()
    assert (shares[given > 0] >= 1).all()


def test_equal_prompts_need_no_more_clusters_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "AT_ONCE", 0)
    labels = cluster(np.repeat(np.eye(3), 30, axis=0), 20, seed=0)
    assert len({tuple(labels[start : start + 30]) for start in (0, 30, 60)}) == 3
    assert len(np.unique(labels)) == 3


def test_a_large_pool_is_not_copied_into_wider_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = heaps(2, 5).astype(np.float32)
    assert fitting(vectors, 2).dtype == np.float64
    monkeypatch.setattr(clusters, "AT_ONCE", 0)
    assert fitting(vectors, 2) is vectors
