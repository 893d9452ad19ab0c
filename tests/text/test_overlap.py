"""What one set of prompts has in common with another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.sections import Likeness
from alma.text.normalise import normalise
from alma.text.overlap import Known, char_grams

TROY = "tell me in one sentence what became of the city of Troy after the war"


@pytest.mark.parametrize(
    ("known", "text", "kind"),
    [
        pytest.param("Explain how tides work.", " explain  HOW tides work. ", "exact", id="case and spaces"),
        pytest.param("Explain how tides work.", "Please explain how tides work.", "near", id="a polite word"),
        pytest.param(
            "Give three tips for staying healthy.", "Give me three tips for staying healthy.", "near", id="a word"
        ),
        pytest.param(TROY, f"You know the Iliad by heart. {TROY.title()}? Answer in French.", "ngrams", id="embedded"),
        pytest.param(TROY, "What became of the city of Troy after the war, my teacher asked us", None, id="a part"),
        pytest.param("write a poem", "write a poem about a ship in the ice of the north", None, id="short in long"),
        pytest.param("sort kjab", "sort hgcd", None, id="of one family"),
    ],
)
def test_how_a_prompt_is_given_away(known: str, text: str, kind: str | None) -> None:
    assert Known(["another prompt", known], Likeness()).kind(text) == kind


def test_what_is_off_finds_nothing() -> None:
    off = Known([TROY], Likeness(near_duplicate="off", ngram_share="off"))
    assert off.kind(f"please {TROY}") is None
    assert off.kind(TROY) == "exact"


def test_every_prompt_that_is_given_away_is_named() -> None:
    known = Known([TROY, "write a poem", TROY + "!", TROY], Likeness())
    assert known.matches(TROY) == {0: "exact", 2: "near", 3: "exact"}


texts = st.text("ab c", min_size=1, max_size=14)


@given(st.lists(texts, min_size=1, max_size=8), texts, st.floats(0.05, 1.0))
def test_rare_grams_lose_no_near_text(known: list[str], text: str, threshold: float) -> None:
    def jaccard(other: str) -> float:
        a, b = (set(char_grams(normalise(each))) for each in (text, other))
        return len(a & b) / len(a | b)

    cfg = Likeness(near_duplicate=threshold, ngram_share="off")
    wanted = {place for place, other in enumerate(known) if jaccard(other) >= threshold}
    assert set(Known(known, cfg).matches(text)) == wanted
