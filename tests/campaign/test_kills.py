"""A run that is killed at any moments, again and again, ends 0 with the manifests of an undisturbed run."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.campaign.kills import OPERATIONS, at_operation
from tests.campaign.tiny import Tiny, manifests

SECONDS = 2.0
"""A run takes about so long on an idle core."""


@pytest.mark.campaign(cases=1)
def test_kills(tiny: Tiny, draw: random.Random, store_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = tiny.prepare(store_uri)
    machine, kills = tmp_path / "machine0", 0
    for number in range(draw.randint(1, 6)):
        if draw.random() < 0.3:  # another machine, which knows nothing of what this one has fetched and computed
            machine = tmp_path / f"machine{number}"
        how = draw.choice([signal.SIGKILL, signal.SIGTERM, None])
        before = "" if how else at_operation(round(OPERATIONS * draw.random() ** 2))
        run = tiny.begin(store_uri, machine, before)
        if how:
            time.sleep(SECONDS * draw.random() ** 2)
            run.signal(how)
        code = run.wait(300)
        assert code in (0, 75, -signal.SIGKILL, -signal.SIGTERM), run.said
        assert "Traceback" not in run.said
        kills += code != 0
    request.node.user_properties.append(("kills", kills))
    run = tiny.begin(store_uri, machine)
    assert run.wait(300) == 0, run.said
    assert manifests(store) == tiny.manifests
