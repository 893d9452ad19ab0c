"""What comes piece by piece is read as far as a bound, in bytes and in time."""

from __future__ import annotations

import time

import pytest

from alma.bounded import TooLargeError, TooSlowError, within


def test_what_is_within_comes_as_it_came() -> None:
    assert list(within([b"ab", b"", b"c"], 3)) == [b"ab", b"", b"c"]
    assert list(within([], 0)) == []


@pytest.mark.parametrize(("most", "said"), [(2**20, "more than 1 MiB"), (1000, "more than 1,000 bytes")])
def test_what_goes_beyond_ends_at_once(most: int, said: str) -> None:
    came = 0

    def endless() -> object:
        nonlocal came
        while True:
            came += 500
            yield b"x" * 500

    with pytest.raises(TooLargeError, match=said):
        list(within(endless(), most))  # type: ignore[arg-type]
    assert most < came <= most + 500


def test_what_comes_too_late_ends() -> None:
    with pytest.raises(TooSlowError):
        list(within([b"a"], 1, time.monotonic() - 1))
