"""The tier ``containers``: skipped as a whole, and loudly, where podman starts no container."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
