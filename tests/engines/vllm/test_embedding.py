"""Embeddings, beside ``hf``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alma.engines import load_embedder
from alma.errors import DataError
from tests.builders.asking import embed
from tests.builders.models import TEXTS
from tests.engines.vllm.checkpoints import HF, VLLM


def test_embeddings_are_those_of_hf(folder: Path) -> None:
    texts = [*TEXTS, "a" * 200]
    for max_tokens in (11, 999):
        with load_embedder(HF, folder) as engine:
            wanted = embed(engine, texts, max_tokens=max_tokens)
        with load_embedder(VLLM, folder) as engine:
            found = embed(engine, texts, max_tokens=max_tokens)
            with pytest.raises(DataError, match="text 1 "):
                embed(engine, ["a", ""], max_tokens=11)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert found.dtype == np.float64
