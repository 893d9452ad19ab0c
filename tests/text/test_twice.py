"""Names that stand twice."""

from __future__ import annotations

from itertools import count

from alma.text.twice import first_twice


def test_the_first_name_that_comes_again_is_found() -> None:
    assert first_twice(["a", "b", "c", "b", "a"]) == "b"
    assert first_twice(["a", "b", "ab"]) is None
    assert first_twice([]) is None


def test_each_name_is_looked_at_once() -> None:
    """A row of 64 MiB has millions; comparing each with each takes days, and this test would never end."""
    endless = (str(n % 1_000_000) for n in count())
    assert first_twice(endless) == "0"
