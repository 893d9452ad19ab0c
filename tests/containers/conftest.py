"""The tier ``containers``: skipped as a whole, and loudly, where podman starts no container."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.containers import podman


@pytest.fixture(scope="session", autouse=True)
def containers_start() -> None:
    """Skips every test of this folder if no container can start here."""
    reason = podman.why_not()
    if reason:
        print(f"\nSKIPPED TIER containers: {reason}", file=sys.__stderr__)
        pytest.skip(f"NO CONTAINERS HERE: {reason}; then make containers")


@pytest.fixture(scope="session")
def image(containers_start: None) -> Callable[..., str]:
    """``image("trl", cpu=True)``: the name of an image, built once."""
    return podman.build


@pytest.fixture(scope="session")
def docker_host(containers_start: None) -> Iterator[str]:
    """Docker's API, served by podman: the value for ``DOCKER_HOST``."""
    with podman.service() as host:
        yield host


@pytest.fixture
def use_docker_host(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, and set in this process's environment, where kfp's DockerRunner looks."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert os.environ["DOCKER_HOST"] == docker_host
    return docker_host
