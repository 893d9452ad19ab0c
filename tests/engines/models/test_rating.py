"""Ratings on every architecture: what a model says at the end of each text, read alone and whole."""

from __future__ import annotations

import pytest

from alma.engines import load_scorer
from alma.prompts import judge_prefix, judge_suffix
from alma.sections import Scoring
from tests.builders.asking import score
from tests.builders.training import TEMPLATE
from tests.engines.models.conftest import Subject

ASKED = {
    "2 + 3": ["5", "5", "it is 5", "a b c d e f g h i j k l m n o p q r s t", ""],
    "what is longer than a window and a border of a few dozen tokens": ["no", "yes it is"],
    "q": ["ab"],
    "4 + 3": ["7", "not 7 but nearly so"],
}


@pytest.mark.parametrize("batch_rows", [3, 64], ids=["some side by side", "all side by side"])
def test_a_rating_is_that_of_the_text_alone(subject: Subject, batch_rows: int) -> None:
    cfg = Scoring(dtype="float32", template=TEMPLATE, batch_rows=batch_rows)
    prefixes = [judge_prefix(TEMPLATE, prompt) for prompt in ASKED]
    suffixes = [[judge_suffix(TEMPLATE, each) for each in responses] for responses in ASKED.values()]
    with load_scorer(cfg, subject.folder) as engine:
        found_PN = score(engine, prefixes, suffixes, max_tokens=200)
    plainly = subject.plainly
    for prefix, suffixes_N, found_N in zip(prefixes, suffixes, found_PN, strict=True):
        for suffix, found in zip(suffixes_N, found_N, strict=True):
            probs, mass = plainly.rating(plainly.encode(prefix + suffix))
            assert found.mass == pytest.approx(mass, rel=1e-3)
            assert found.probs_R == pytest.approx(probs, abs=1e-4)
