"""DPO's reference on every architecture: sums of a response's log-probabilities, read alone and whole."""

from __future__ import annotations

import pytest

from alma.engines import load_reference
from alma.sections import Reference
from tests.engines.models.conftest import Subject

PAIRS = [
    ("ab cd", "2 + 3", "n"),
    ("what is longer than a window and a border", "it is so and so on and so on", "no"),
    ("a", "yes", "o"),
    ("x y", "q", "a b c d e f g h i j k l m n o p"),
]


def test_a_log_probability_is_that_of_the_text_alone(subject: Subject) -> None:
    with load_reference(Reference(dtype="float32"), subject.folder) as engine:
        found = engine.read([dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS])
    plainly = subject.plainly
    for (prompt, chosen, rejected), each in zip(PAIRS, found, strict=True):
        assert each is not None
        asked = plainly.encode(f"<s><user>{prompt}<assistant>")
        for response, logprob in ((chosen, each.chosen), (rejected, each.rejected)):
            assert logprob == pytest.approx(plainly.logprob(asked, plainly.encode(f"{response}</s>")), abs=2e-3)
