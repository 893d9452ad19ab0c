"""Verdicts of models that may write anything: exactly one is read, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.prompts.mt_bench import Talk, comparison, grading
from alma.text.verdict import FAULTS, preference, read_choice, read_rating

PROSE = st.text(st.characters(exclude_characters="[]", exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("It is terse.\n\nRating: [[7]]", (7.0, None), id="as asked"),
        pytest.param("Rating: [[ 7.5 ]]", (7.5, None), id="a decimal, with spaces"),
        pytest.param("[[3]], so: Rating: [[3.0]]", (3.0, None), id="the same twice"),
        pytest.param('As told, for example: "Rating: [[5]]". Rating: [[9]]', (9.0, None), id="behind its own example"),
        pytest.param('you must rate, for example: "Rating: [[5]]".', (None, "none"), id="its own example alone"),
        pytest.param("The answer says [[10]]. Rating: [[2]]", (None, "several"), id="a quoted one before it"),
        pytest.param("[[10]] [[11]]", (None, "several"), id="one of two on the scale"),
        pytest.param("Rating: [[11]]", (None, "range"), id="above"),
        pytest.param("Rating: [[0]]", (None, "range"), id="below"),
        pytest.param("Rating: [[-3]]", (None, "range"), id="negative"),
        pytest.param("Rating: [[7,5]]", (None, "range"), id="a comma"),
        pytest.param("Rating: [[1e1]]", (None, "range"), id="no plain digits"),
        pytest.param("Rating: [[" + "9" * 5000 + "]]", (None, "range"), id="endless"),
        pytest.param("Rating: [[eight]]", (None, "none"), id="in words"),
        pytest.param("Rating: [8]", (None, "none"), id="one bracket"),
        pytest.param("Rating: [[8/10]]", (None, "none"), id="a fraction"),
        pytest.param("Rating: [[٧]]", (None, "none"), id="other digits"),
        pytest.param("[[rating]]", (None, "none"), id="the form itself"),
        pytest.param(" \n", (None, "empty"), id="nothing"),
    ],
)
def test_a_rating(text: str, found: tuple[float | None, str | None]) -> None:
    assert tuple(read_rating(text)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("A is right.\n\n[[A]]", ("A", None), id="as asked"),
        pytest.param("[[C]] … my verdict is [[C]]", ("C", None), id="the same twice"),
        pytest.param('"[[A]]" if assistant A is better, "[[B]]" if', (None, "several"), id="the prompt's words"),
        pytest.param("[[D]]", (None, "none"), id="no such choice"),
        pytest.param("[[a]]", (None, "none"), id="a small letter"),
        pytest.param("Assistant A is better.", (None, "none"), id="in words"),
        pytest.param("", (None, "empty"), id="nothing"),
    ],
)
def test_a_choice(text: str, found: tuple[str | None, str | None]) -> None:
    assert tuple(read_choice(text)) == found


@given(st.text(max_size=200))
def test_whatever_a_model_writes_is_a_verdict_or_a_known_fault(text: str) -> None:
    for value, fault in (read_rating(text), read_choice(text)):
        assert (value is None) == (fault in FAULTS)


@given(PROSE, st.decimals(1, 10, places=1), PROSE)
def test_a_single_rating_is_read_wherever_it_stands(before: str, rating: object, behind: str) -> None:
    assert read_rating(f"{before}[[{rating}]]{behind}").score == float(str(rating))


@given(PROSE, st.integers(1, 10), st.integers(1, 10), PROSE)
def test_two_ratings_are_one_only_if_they_agree(before: str, first: int, second: int, behind: str) -> None:
    score, fault = read_rating(f"{before}[[{first}]]{behind}[[{second}]]")
    assert (score, fault) == ((float(first), None) if first == second else (None, "several"))


@given(st.sampled_from("ABC"), st.sampled_from("ABC"))
def test_a_preference_and_its_opposite_add_up_to_one(first: str, swapped: str) -> None:
    other = {"A": "B", "B": "A", "C": "C"}
    assert preference(first, swapped) + preference(other[first], other[swapped]) == 1.0  # type: ignore[arg-type]
    assert preference(first, first) == 0.5, "who chooses a place prefers no answer"  # type: ignore[arg-type]


def test_both_orders_have_to_agree_on_the_winner() -> None:
    assert [preference("A", swapped) for swapped in "ABC"] == [0.5, 1.0, 0.5]  # type: ignore[arg-type]
    assert preference("B", "A") == 0.0


def test_a_model_that_repeats_its_prompt_gives_no_verdict() -> None:
    for talk in (Talk(("q",), ("x",)), Talk(("p", "q"), ("w", "x"))):
        for reference in (None, "r"):
            assert read_rating("\n".join(each["content"] for each in grading(talk, reference))).score is None
            assert read_choice("\n".join(each["content"] for each in comparison(talk, talk, reference))).choice is None
