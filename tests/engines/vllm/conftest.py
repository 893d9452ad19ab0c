"""The ``vllm`` engines on the shipped micro model and on tiny models of other families: skipped, loudly, without vLLM.

``make vllm`` runs them, in a virtual environment that ``tests/tools/vllm.sh`` makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alma.engines import load_generator
from tests.engines.vllm import checkpoints as made

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before those that the command line does not ask for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs vLLM."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("vllm")


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
