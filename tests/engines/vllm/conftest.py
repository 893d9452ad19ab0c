"""The ``vllm`` engines on the shipped micro model and on tiny models of other families: skipped, loudly, without vLLM.

To run them: a virtual environment with all of ``images/vllm/cpu.lock`` (``uv pip install --no-deps -r``, with
``--find-links`` where torch's CPU wheel lies elsewhere), pytest and hypothesis; then ``pytest tests/engines/vllm``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alma.engines import load_generator
from tests.engines.vllm import checkpoints as made


@pytest.fixture(scope="session", autouse=True)
def vllm_is_there() -> None:
    """Skips every test of this folder where vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        print("\nSKIPPED tests/engines/vllm: vLLM is not installed (images/vllm/cpu.lock)", file=sys.__stderr__)
        pytest.skip("NO VLLM HERE: install images/vllm/cpu.lock, see tests/engines/vllm/conftest.py")


@pytest.fixture(scope="module", params=[made.llama, made.tied, made.mistral, made.gpt2], ids=lambda make: make.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "10" is one token for two of them and two for the others."""
    ten = request.param in (made.tied, made.gpt2)
    return made.saved(tmp_path_factory.mktemp("model"), request.param, ten)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The base and two that differ from it; the last in bfloat16, as a training on a GPU leaves it."""
    return made.three(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def micro() -> Iterator[Any]:
    with load_generator(made.VLLM, made.BASE) as engine:
        yield engine
