"""The CPU variant of images/vllm, apart from the others: 3.3 GB, and minutes to build."""

from __future__ import annotations

from collections.abc import Callable

import podman
import pytest

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]


def test_vllm_on_cpu_generates_as_a_stranger_on_a_read_only_root(image: Callable[..., str]) -> None:
    """Its compiled part loads, and no place but /tmp is written."""
    code = """
from vllm import LLM, SamplingParams
llm = LLM("/base", enforce_eager=True, kv_cache_memory_bytes=200 * 2**20, dtype="float32", max_model_len=64)
print("tokens", len(llm.generate(["<s><user>"], SamplingParams(max_tokens=5, ignore_eos=True))[0].outputs[0].token_ids))
"""
    variables = ["VLLM_ENABLE_V1_MULTIPROCESSING=0", "TORCHDYNAMO_DISABLE=1", "HF_HUB_OFFLINE=1"]
    model = podman.ROOT / "examples" / "micro" / "base"
    options = ["--network=none", f"--volume={model}:/base:ro", *(f"--env={each}" for each in variables)]
    assert "tokens 5\n" in podman.run(image("vllm", cpu=True), "python", "-c", code, options=options)
