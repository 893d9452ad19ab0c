"""What tests of stages share: a bench to run one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty store, and one stage at a time."""
    return Bench(tmp_path)
