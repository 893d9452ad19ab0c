"""A dotted path into a row."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from alma import sources
from alma.sources.paths import by_place, find
from tests.builders.ingested import ingested

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


def test_rows_that_take_long_to_read_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def being_read(source: str) -> nullcontext[None]:
        told.append(source)
        return nullcontext()

    monkeypatch.setattr(sources, "being_read", being_read)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    ingested(tmp_path, "rows.jsonl", "prompts")
    assert set(told) == {"rows.jsonl"}, "copied, and read"
