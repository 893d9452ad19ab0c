"""When two texts are one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.text.normalise import compatible, normalise


@given(st.text())
def test_the_compatibility_form_is_unicode_s(text: str) -> None:
    """Where no more marks stand in a row than a language writes: hypothesis draws no thirty."""
    assert compatible(text) == unicodedata.normalize("NFKC", text)


def test_thirty_marks_are_brought_into_their_order() -> None:
    text = "a" + "\u0301\u0316" * 15
    assert compatible(text) == unicodedata.normalize("NFKC", text)
    assert normalise("e\u0301 \ufb01X") == normalise("é  FIx")


@pytest.mark.timeout(60)
def test_marks_without_end_take_no_time_of_their_square() -> None:
    """A million of them would take half an hour, in which no signal is heard."""
    assert len(compatible("a" + "\u0301\u0316" * 500_000)) > 1_000_000
