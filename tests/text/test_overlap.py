"""What one set of prompts has in common with another."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.sections import Likeness
from alma.text import overlap
from alma.text.normalise import normalise
from alma.text.overlap import Known, char_grams
from alma.text.rouge import words

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


TEMPLATE = f"You are a careful assistant, and you answer in short plain sentences. {TROY}, and what number {{}} is."


def test_no_text_is_cut_up_anew_for_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows with the pairs is a sum, and no set of grams: every text is cut up once."""
    cut: Counter[str] = Counter()
    monkeypatch.setattr(overlap, "char_grams", lambda form: cut.update([form]) or char_grams(form))
    known = Known([TEMPLATE.format(place) for place in range(1000, 1050)], Likeness())
    for place in range(2000, 2050):
        assert set(known.matches(TEMPLATE.format(place)).values()) == {"near"}
    assert (len(cut), set(cut.values())) == (100, {1})


def test_of_a_text_that_is_too_long_to_be_near_no_more_is_cut_up_than_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[str] = []
    monkeypatch.setattr(overlap, "PIECE_GRAMS", 10)
    known = Known([TROY], Likeness(ngram_share="off"))
    monkeypatch.setattr(overlap, "char_grams", lambda form: (cut.append(each) or each for each in char_grams(form)))
    assert known.matches("".join(map(chr, range(20_000, 30_000)))) == {}
    assert len(cut) < 200


def test_a_pause_is_made_at_each_known_prompt() -> None:
    made: list[None] = []
    Known(["a", "b", "c"], Likeness(near_duplicate="off", ngram_share="off"), lambda: made.append(None))
    assert len(made) == 3


def plainly(known: list[str], text: str, cfg: Likeness) -> dict[int, str]:
    """Pair by pair, as the definitions read."""

    def kind(other: str) -> str | None:
        if normalise(text) == normalise(other):
            return "exact"
        a, b = (set(char_grams(normalise(each))) for each in (text, other))
        if cfg.near_duplicate != "off" and a & b and len(a & b) >= cfg.near_duplicate * len(a | b):
            return "near"
        a, b = ({tuple(words(each)[i:][:num]) for i in range(len(words(each)) - num + 1)} for each in (text, other))
        if cfg.ngram_share != "off" and a & b and len(a & b) >= cfg.ngram_share * len(b):
            return "ngrams"
        return None

    num = cfg.ngram_words
    return {place: found for place, other in enumerate(known) if (found := kind(other)) is not None}


pieces = st.sampled_from(["You are careful.", " Say it", " in short", " words", ", please", "x", " 7", "é", " Öl", "?"])
pieced = st.lists(pieces, max_size=12).map("".join) | st.text("ab c", max_size=14)
measures = st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.1, 0.3, 0.55, 0.7, 1.0]) | st.just("off")


@given(st.lists(pieced, max_size=12), st.lists(pieced, max_size=4), measures, measures, st.integers(1, 4))
def test_exactly_what_is_alike_pair_by_pair_is_found(
    known: list[str], texts: list[str], near: float | str, share: float | str, num_words: int
) -> None:
    cfg = Likeness.model_validate({"near_duplicate": near, "ngram_share": share, "ngram_words": num_words})
    found = Known(known, cfg)
    for text in [*texts, *known]:
        assert found.matches(text) == plainly(known, text, cfg)


texts = st.text("ab c", min_size=1, max_size=14)


@given(st.lists(texts, min_size=1, max_size=8), texts, st.floats(0.05, 1.0))
def test_rare_grams_lose_no_near_text(known: list[str], text: str, threshold: float) -> None:
    def jaccard(other: str) -> float:
        a, b = (set(char_grams(normalise(each))) for each in (text, other))
        return len(a & b) / len(a | b)

    cfg = Likeness(near_duplicate=threshold, ngram_share="off")
    wanted = {place for place, other in enumerate(known) if jaccard(other) >= threshold}
    assert set(Known(known, cfg).matches(text)) == wanted
