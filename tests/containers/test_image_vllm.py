"""The CPU variant of images/vllm, apart from the others: 3.3 GB, and minutes to build."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.containers import podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

EXAMPLES = f"--volume={podman.ROOT / 'examples'}:/examples:ro"
SMALL_RUN = [
    "alma.engine=vllm",
    "alma.vllm.kv_cache_gib=0.2",
    "alma.rounds=1",
    "alma.synthesize.num_attempts=400",
    "alma.diversify.num_clusters=20",
    "alma.distill.enabled=false",
    "alma.distill.num_prompts=10",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=4",
    "alma.initial.epochs=1",
    "alma.judge_seed.epochs=1",
    "alma.train.epochs=1",
    "alma.curve.enabled=false",
]


def test_the_recipe_runs_in_it_with_vllm(image: Callable[..., str]) -> None:
    """As a stranger, on a read-only root, without a network: synthesize, embed, respond, judge and evaluate by vLLM.

    The image holds the trainers too, so one container runs it all.
    """
    settings = [word for setting in SMALL_RUN for word in ("--set", setting)]
    command = ["alma", "run", "/examples/micro.toml", "--store", "/tmp/store", "--in-process", *settings]
    ran = podman.run(image("vllm", cpu=True), *command, options=["--network=none", EXAMPLES])
    assert "report  /tmp/store/report/" in ran


def test_two_engines_side_by_side_in_it(image: Callable[..., str]) -> None:
    """Data parallel: its processes start, and are gone at the end."""
    code = """
from pathlib import Path
from alma.engines import GenerateRequest, ask, load_generator
from alma.sections import Inference, Vllm
cfg = Inference(engine="vllm", batch_rows=4, vllm=Vllm(kv_cache_gib=0.2, data_parallel=2))
with load_generator(cfg, Path("/examples/micro/base")) as engine:
    answers = ask(engine, GenerateRequest(["<s><user>1+1"] * 9, [[0]] * 9, None, max_new_tokens=5))
print("answers", len(answers), len({answer.text for [answer] in answers}))
print("left", sum(b"vllm_" b"serve" in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")))
"""
    ran = podman.run(image("vllm", cpu=True), "python", "-c", code, options=["--network=none", EXAMPLES])
    assert "answers 9 1\nleft 0\n" in ran
