"""Hostile inputs: whatever is brought, a command ends in time, with a documented status and one plain sentence."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.conftest import Campaign
from tests.campaign.inputs import Case, Ended, Server, as_process, environment, faults
from tests.campaign.inputs_drawn import KINDS, SHARES, prepare
from tests.campaign.tiny import ROOT, arguments

CASES = 250
MOST_TOLD = 20


@pytest.fixture(scope="module")
def world() -> Iterator[Path]:
    """A folder that everybody may enter, with the store of a whole run on the echo engine."""
    with tempfile.TemporaryDirectory(prefix="alma-campaign-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        command = [sys.executable, "-m", "alma", *arguments(str(folder / "store"))]
        subprocess.run(command, check=True, capture_output=True, env=environment(), cwd=ROOT)
        yield folder


@pytest.mark.slow
def test_hostile_inputs(campaign: Campaign, world: Path) -> None:
    found: list[str] = []
    number = 0

    def judge(case: Case, ended: Ended) -> None:
        if wrong := faults(case, ended):
            found.append(
                f"{case.note}: {'; '.join(wrong)}\n  {case.program} {case.arguments!r:.600}\n"
                f"  status {ended.status}: {ended.err[-1500:]!r}"
            )
        subprocess.run(["chmod", "-R", "u+rwx", case.folder], check=False)
        shutil.rmtree(case.folder)

    with Server() as server:

        def check(draw: random.Random) -> None:
            nonlocal number
            number += 1
            kind = draw.choices(list(SHARES), list(SHARES.values()))[0]
            folder = world / f"case{number}"
            prepare(folder)
            case = KINDS[kind](draw, folder, world)
            case.note = f"case {number} ({kind}, {case.note})"
            give_away(folder)
            for each in server.run(case):
                judge(*each)

        try:
            campaign.each(check, cases=CASES)
        except Exception as error:
            error.add_note("\n".join(found))
            raise
        for each in server.rest():
            judge(*each)
    assert not found, f"{len(found)} cases:\n" + "\n".join(found[:MOST_TOLD])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "model", "store"])
def test_hostile_inputs_of_processes(campaign: Campaign, world: Path, kind: str) -> None:
    """As they are run by a person: what is forked is the same."""
    number = 0

    def check(draw: random.Random) -> None:
        nonlocal number
        number += 1
        folder = world / f"process-{kind}{number}"
        prepare(folder)
        case = KINDS[kind](draw, folder, world)
        ended = as_process(case)
        assert not faults(case, ended), (case, ended)

    campaign.each(check, cases=2)


def give_away(folder: Path) -> None:
    """Lets whoever the child is write into the folder."""
    folder.chmod(0o777)
    if os.geteuid() == 0:
        for place, _, names in os.walk(folder):
            for name in (".", *names):
                os.chown(Path(place, name), 65534, 65534, follow_symlinks=False)
