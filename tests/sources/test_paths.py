"""A dotted path into a row."""

from __future__ import annotations

import pytest

from alma.sources.paths import by_place, find

ROW = {"list": ["a", "b"], "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("place", ["²", "٣", "-1", "2", "9" * 5000])
def test_what_is_no_place_leads_nowhere(place: str) -> None:
    assert find(ROW, f"list.{place}") is None
    assert find(ROW, f"messages.{place}.content") is None


def test_a_place_leads_to_its_item() -> None:
    found = find(ROW, "messages.0.content")
    assert found is not None
    assert (found.value, found.column, found.place) == ("hello", "messages", 0)
    assert by_place("messages.0.content")
    assert not by_place("messages.².content")
