"""Regular expressions that people write are matched in a process of its own, as ``re`` matches them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.errors import TransientError
from alma.text import matching
from alma.text.matching import full_matches

PATTERNS = (r"[a-z ]+", r"(\w)\1.*", r"(?=.*b)a.*\n?", r"(?i)ß|É+", r"\ud83d?.", "")


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=5, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("aAbß é\n\ud83d"), max_size=5), max_size=200))
def test_it_matches_as_re_does(pattern: str, texts: list[str]) -> None:
    expected = [re.compile(pattern, re.DOTALL).fullmatch(text) is not None for text in texts]
    assert list(full_matches("x", pattern, ((str(i), text) for i, text in enumerate(texts)))) == expected


def test_a_process_that_ended_by_itself_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching.matcher, "__file__", "/nowhere/matcher.py")
    with pytest.raises(TransientError, match="matches x ended"):
        list(full_matches("x", "a", [("1", "a")]))
