"""Each test here runs once per architecture: a dozen by default, all of them with ``--every-architecture``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch

from tests.builders.architectures import ARCHITECTURES, DOZEN, REFUSED, tiny
from tests.builders.plainly import Plainly


@dataclass(frozen=True)
class Subject:
    """A tiny random model of one architecture."""

    model_type: str
    folder: Path

    @cached_property
    def plainly(self) -> Plainly:
        """What it says."""
        return Plainly(self.folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``subject`` is each model that engines take, ``refused`` each that they do not."""
    every = metafunc.config.getoption("--every-architecture")
    for name, wanted in (
        ("subject", [each for each in (ARCHITECTURES if every else DOZEN) if each not in REFUSED]),
        ("refused", list(REFUSED)),
    ):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, wanted, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever loads a model is slow."""
    for item in items:
        if {"subject", "refused"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def _made(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Subject:
    torch.set_num_threads(1)
    return Subject(request.param, tiny(request.param, factory.mktemp("models") / request.param))


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """See ``pytest_generate_tests``."""
    return _made(request, tmp_path_factory)


@pytest.fixture(scope="session")
def refused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """See ``pytest_generate_tests``."""
    return _made(request, tmp_path_factory)
