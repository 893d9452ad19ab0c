"""Architectures that no engine can use rightly are refused by name, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.engines import load_embedder, load_generator, load_reference, load_scorer
from alma.errors import DataError
from alma.sections import Inference, Reference, Scoring
from tests.builders.training import PAIRS, TEMPLATE, place, settings, train
from tests.engines.models.conftest import Subject


@pytest.mark.filterwarnings("ignore")  # transformers' own, about a decoder that is none
def test_a_model_that_sees_what_comes_later_is_refused(refused: Subject, tmp_path: Path) -> None:
    for load in (
        lambda: load_generator(Inference(), refused.folder),
        lambda: load_embedder(Inference(), refused.folder),
        lambda: load_scorer(Scoring(template=TEMPLATE), refused.folder),
        lambda: load_reference(Reference(), refused.folder),
        lambda: train(settings(), place(refused.folder, tmp_path, PAIRS)),
    ):
        with pytest.raises(DataError, match=f"type {refused.model_type} cannot be used: it sees what comes later"):
            load()
