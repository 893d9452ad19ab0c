"""One iteration of ISARA as a compiled pipeline in containers: real engines, a real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.containers.pods import ROOT, made, told

if TYPE_CHECKING:
    from tests.conftest import S3Server

RUN_FILE = ROOT / "examples" / "isara-micro.toml"
SMALL = [
    "isara.iterations=1",
    "isara.repeats=[1]",
    "isara.imitate.num_attempts=48",
    "isara.baselines.in_context=false",
    "isara.baselines.sft=false",
    "isara.baselines.one_shot=false",
    "isara.evaluation_prompts.limit=40",
    "placement.retries=0",
]

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]


def test_one_iteration_in_containers_has_the_keys_of_a_run_here(
    s3_server: S3Server, image: Callable[..., str], tmp_path: Path
) -> None:
    with made(RUN_FILE, SMALL, s3_server, image, tmp_path) as world:
        run = world.run()
        assert run.state == "SUCCEEDED", told(run)
        steps = world.steps()
        assert "repeat 1 · isara 1 · imitate" in steps
        assert steps == world.steps_of_a_run_here(tmp_path / "store")
