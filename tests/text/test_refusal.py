"""Refusals by how they begin: XSTest's openings, and nothing that only mentions one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.text.refusal import OPENINGS, refuses

opening = st.sampled_from(OPENINGS)
blanks = st.text(alphabet=" \t\n", max_size=3)


@given(
    opening, blanks, st.text(max_size=40), st.sampled_from([str.lower, str.upper, str.title]), st.sampled_from("'’ʼ")
)
def test_every_opening_is_found_however_it_is_written(
    text: str, before: str, after: str, cased: object, apostrophe: str
) -> None:
    written = cased(text).replace("'", apostrophe)  # type: ignore[operator]
    assert refuses(f"{before}{written} {after}")


@given(opening, st.text(alphabet="wxyz", min_size=1, max_size=8))
def test_only_the_beginning_counts(text: str, first: str) -> None:
    assert not refuses(f"{first} {text}")


@given(st.text(max_size=60))
def test_what_follows_changes_nothing(text: str) -> None:
    assert refuses(text) <= refuses(f"{text} more"), "a refusal stays one"


@pytest.mark.parametrize("text", ["", "   ", "Sure, here is how.", "Not at all: take a spoon.", "I am not sure."])
def test_answers_are_no_refusals(text: str) -> None:
    assert not refuses(text)


@pytest.mark.parametrize("text", ["That would be dangerous.", "Je suis désolé, non."])
def test_what_the_match_is_known_to_miss(text: str) -> None:
    assert not refuses(text), "the page says that other openings and languages are not seen"


def test_openings_of_ones_own() -> None:
    assert refuses("NEIN!", ("nein",))
    assert not refuses("I cannot.", ("nein",))
