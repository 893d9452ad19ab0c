"""Embedding on every architecture: the mean of the last hidden state, each text read alone."""

from __future__ import annotations

import pytest

from alma.engines import load_embedder
from alma.sections import Inference
from tests.builders.asking import embed
from tests.engines.models.conftest import Subject

TEXTS = ["a b", "what is longer than a window and a border of a few dozen tokens", "q", "0 1 2 3 4 5 6 7 8 9"]


def test_a_vector_is_that_of_the_text_alone(subject: Subject) -> None:
    with load_embedder(Inference(dtype="float32", batch_rows=8), subject.folder) as engine:
        vectors_PD = embed(engine, TEXTS, max_tokens=200)
    plainly = subject.plainly
    for text, vector_D in zip(TEXTS, vectors_PD, strict=True):
        wanted_D = plainly.mean_hidden(plainly.encode(text))
        assert vector_D.tolist() == pytest.approx(wanted_D, abs=1e-3 * max(map(abs, wanted_D)))
