"""Two or three runs at once on one store, each on a machine of its own: all end well, and as one run alone would."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.campaign.kills import OPERATIONS, at_operation, without_locks
from tests.campaign.tiny import Tiny, manifests


def together(tiny: Tiny, draw: random.Random, uri: str, folder: Path, before: str, *, apart: bool) -> dict[str, bytes]:
    """Begins runs one after the other, and waits for all: the manifests that they leave.

    Where they are ``apart``, each has a cache of its own.
    """
    store = tiny.prepare(uri)
    runs = []
    for number in range(draw.choice([2, 2, 3])):
        killed = number > 0 and draw.random() < 0.2
        also = at_operation(draw.randint(1, OPERATIONS)) if killed else ""
        cache = folder / (f"{number}" if apart else "one") / "cache"
        cache.parent.mkdir(exist_ok=True)
        runs.append((killed, tiny.begin(uri, folder / f"log{number}", before + also, ALMA_CACHE=str(cache))))
        time.sleep(draw.choice([0, draw.random()]))
    for killed, run in runs:
        code = run.wait(300)
        assert code == 0 or (killed and code < 0), run.said
    return manifests(store)


@pytest.mark.campaign(cases=1)
def test_runs_at_once(tiny: Tiny, draw: random.Random, store_uri: str, tmp_path: Path) -> None:
    assert together(tiny, draw, store_uri, tmp_path, "", apart=draw.random() < 0.7) == tiny.manifests


@pytest.mark.campaign(cases=1)
def test_runs_at_once_where_there_are_no_locks(tiny: Tiny, draw: random.Random, store_uri: str, tmp_path: Path) -> None:
    before = without_locks(draw.choice(["ENOLCK", "ENOSYS", "EOPNOTSUPP"]))
    assert together(tiny, draw, store_uri, tmp_path, before, apart=draw.random() < 0.5) == tiny.manifests
