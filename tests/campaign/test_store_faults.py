"""A store that does wrong: a run ends 0 as if undisturbed, or with a clear error, and 0 once the fault is gone."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alma.store import Store
from alma.store.ranges import RANGE_BYTES
from tests.builders.proxy import Fault, Proxy, Request, running
from tests.builders.warm import Run
from tests.campaign.conftest import Draw
from tests.campaign.kills import OPERATIONS, at_operation
from tests.campaign.store_faults import FILES, KINDS, STATEMENTS, disturbed
from tests.campaign.tiny import Tiny, manifests

if TYPE_CHECKING:
    from tests.conftest import S3Server

SECONDS = 300
"""No fault may hold a run longer, with two attempts at a request: then it hangs."""


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    with running(s3_server.endpoint, RANGE_BYTES) as proxy:
        yield proxy


def ended(run: Run, *codes: int) -> int:
    """Its exit code, which is one of these; what it said is for people."""
    code = run.wait(SECONDS)
    assert code in codes, run.said
    assert "Traceback" not in run.said, run.said
    if code:
        assert '"event": "error"' in run.said or "alma: " in run.said, run.said
    return code


def manifest_of(name: str) -> str:
    """The manifest of the artifact that an object belongs to."""
    return "/".join([*name.split("/")[:2], "manifest.json"])


def unsealed_parts(store: Store) -> list[str]:
    """The objects of parts whose artifact has no manifest."""
    there = store.list("")
    return [name for name in there if "/parts/" in name and manifest_of(name) not in there]


def chosen(draw: Draw, kinds: tuple[str, ...]) -> str:
    """Every kind in its turn, from one that the seed chooses on."""
    return draw_order(kinds)[draw.number % len(kinds)]


def draw_order(kinds: tuple[str, ...]) -> list[str]:
    """The same in every case of a campaign, so that cases as many as kinds try all of them."""
    return random.Random("order").sample(kinds, len(kinds))


@pytest.mark.campaign(cases=3)
def test_a_server_at_fault(
    tiny: Tiny, draw: Draw, s3_store_uri: str, proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = tiny.prepare(s3_store_uri)
    kind = chosen(draw, KINDS)
    request.node.user_properties.append(("kind", kind))
    disturb, faults = disturbed(draw, kind), list[str]()

    def fault(asked: Request) -> Fault:
        done = disturb(asked)
        faults.extend([done] if done else [])
        return done

    proxy.fault = fault
    variables = {"AWS_ENDPOINT_URL": proxy.endpoint, "AWS_MAX_ATTEMPTS": draw.choice(["1", "2", "2", "4"])}
    code = ended(tiny.begin(s3_store_uri, tmp_path / "machine", **variables), 0, 2, 75)
    request.node.user_properties.append(("faults", len(faults)))
    if code == 0:
        assert manifests(store) == tiny.manifests, f"{kind}: silently different"
    ended(tiny.begin(s3_store_uri, tmp_path / "machine"), 0)
    assert manifests(store) == tiny.manifests, f"after {kind}"


@pytest.mark.campaign(cases=1)
def test_unsealed_parts_that_are_altered(
    tiny: Tiny, draw: Draw, store_uri: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever is done to them: they are computed again, without an error."""
    store = tiny.prepare(store_uri)
    before = at_operation(draw.randint(OPERATIONS // 6, OPERATIONS))
    assert tiny.begin(store_uri, tmp_path / "machine", before).wait(SECONDS) in (0, -signal.SIGKILL)
    unsealed = unsealed_parts(store)
    if not unsealed:  # killed before the first part, or between two artifacts: then as if just before a sealing
        ended(tiny.begin(store_uri, tmp_path / "machine"), 0)
        store.remove(manifest_of(draw.choice([name for name in store.list("") if "/parts/" in name])))
        unsealed = unsealed_parts(store)
    altered = draw.sample(unsealed, min(len(unsealed), draw.randint(1, 3)))
    request.node.user_properties.append(("alterations", len(altered)))
    for name in altered:
        draw.choice(STATEMENTS if name.endswith(".json") else FILES)(store, name, draw)
    ended(tiny.begin(store_uri, tmp_path / "machine"), 0)
    assert manifests(store) == tiny.manifests


@pytest.mark.campaign(cases=1)
def test_sealed_files_that_are_damaged(tiny: Tiny, draw: Draw, store_uri: str, tmp_path: Path) -> None:
    """Refused where they are read, with the remedy, which works; a manifest stays what it was, or is none."""
    store = tiny.prepare(store_uri)
    before = at_operation(draw.randint(OPERATIONS // 6, OPERATIONS))
    assert tiny.begin(store_uri, tmp_path / "machine", before).wait(SECONDS) in (0, -signal.SIGKILL)
    there = store.list("")
    sealed = [name for name in there if manifest_of(name) in there]
    name = draw.choice(sealed)
    is_manifest = name.endswith("/manifest.json")
    how = draw.choice([change for change in FILES if not is_manifest or change.__name__ not in ("turned", "longer")])
    how(store, name, draw)
    machine = tmp_path / draw.choice(["machine", "another"])
    code = ended(tiny.begin(store_uri, machine), 0, 2)
    if code == 2:
        for each in store.list(manifest_of(name).rpartition("/")[0]):
            store.remove(each)
        ended(tiny.begin(store_uri, machine), 0)
    found = manifests(store)
    found = {each: data for each, data in found.items() if each != name or code == 2}
    assert found.items() <= tiny.manifests.items()
