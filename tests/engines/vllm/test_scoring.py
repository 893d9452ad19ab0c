"""Ratings, beside ``hf``."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from alma.engines import ScoreRequest, load_scorer
from alma.sections import Judge
from tests.builders.asking import score
from tests.builders.models import PREFIXES, SUFFIXES, TEMPLATE
from tests.engines.vllm.checkpoints import BASE, MICRO_TEMPLATE, SETTINGS


def test_ratings_are_those_of_hf(folder: Path) -> None:
    cfg = Judge(engine="vllm", template=TEMPLATE, batch_rows=64, vllm=SETTINGS)
    request = ScoreRequest(PREFIXES, SUFFIXES, max_tokens=60)
    with load_scorer(cfg.changed(engine="hf"), folder) as engine:
        [theirs] = engine.answer([request], on_tokens=lambda _: None)
    with load_scorer(cfg, folder) as engine:
        [ours] = engine.answer([request], on_tokens=lambda _: None)
        assert score(engine, PREFIXES, SUFFIXES, max_tokens=60) == ours.answer
    assert ours.num_tokens == theirs.num_tokens, "what is counted must not depend on what a cache spared"
    wanted, found = theirs.answer, ours.answer
    assert [len(row) for row in found] == [len(row) for row in wanted]
    for one, other in zip(chain(*found), chain(*wanted), strict=True):
        np.testing.assert_allclose(one.probs_R, other.probs_R, atol=1e-4)
        assert one.mass == pytest.approx(other.mass, abs=1e-4)
    assert len({each.probs_R for each in chain(*found)}) > 30


def test_equal_responses_are_rated_once_and_shared_beginnings_too() -> None:
    heard: list[int] = []
    cfg = Judge(engine="vllm", template=MICRO_TEMPLATE, batch_rows=64, vllm=SETTINGS)
    prefix, answers = "<s><review>" + "abc " * 40, ["3", "4", "3", "x" * 100]
    with load_scorer(cfg, BASE) as engine:
        [found] = score(
            engine,
            [prefix],
            [[f"<assistant>{each}<rating>" for each in answers]],
            max_tokens=200,
            on_tokens=heard.append,
        )
        sizes = [len(ids) for ids in engine.encode([f"{prefix}<assistant>{each}<rating>" for each in answers])]
    assert found[0] == found[2] != found[1]
    assert sizes[3] > 200
    assert found[3].mass == 0.0
    assert found[3].probs_R == pytest.approx([1 / 11] * 11)
    assert sizes[0] == sizes[1] > 128
    # A block of 128 tokens is what a CPU shares; "10" is two tokens here, so one more position is read of each.
    assert sum(heard) == sizes[0] + sizes[1] - 128 + 2
