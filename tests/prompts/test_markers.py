"""What of a template ends an answer, and what would cut ordinary text."""

import pytest

from alma.prompts import JUDGE_TEMPLATE
from alma.prompts.markers import held, last_line, markers, rating_literals


@pytest.mark.parametrize(
    ("literal", "found"),
    [
        pytest.param("\n\n### User:\n", ["### User:"], id="a heading"),
        pytest.param(" [/INST] ", ["[/INST]"], id="in brackets"),
        pytest.param("<|user|>\n", ["<|user|>"], id="a token that the model does not know"),
        pytest.param("\nUser: ", ["\nUser:"], id="a word and a colon, at the beginning of a line"),
        pytest.param(" USER: ", ["USER:"], id="a word and a colon, in the middle of one"),
        pytest.param("\nQ: ", ["\nQ:"], id="short, at the beginning of a line"),
        pytest.param(" A: ", [], id="short, in the middle of one"),
        pytest.param("\n[A]\n", ["\n[A]"], id="short, in brackets"),
        pytest.param("\n---\n\n***\n", [], id="rules"),
        pytest.param("</s>\nuser\n", [], id="plain words beside a token"),
        pytest.param("</s>\n\n### A </s> B:", ["\n### A"], id="on both sides of a token"),
        pytest.param("\n\n\n ", [], id="white space"),
    ],
)
def test_a_line_between_contents(literal: str, found: list[str]) -> None:
    assert list(markers([literal], {"</s>", "<s>"})) == found


def test_every_marker_of_our_rating_prompt() -> None:
    assert markers(rating_literals(JUDGE_TEMPLATE)) == ("Rating: [[", "[Response]", "[User Prompt]")


def test_control_tokens_of_a_rating_prompt_are_none() -> None:
    template = "<s><review>{prompt}<assistant>{response}<rating>"
    assert markers(rating_literals(template), {"<s>", "<review>", "<assistant>", "<rating>"}) == ()
    assert markers(rating_literals(template), {"<s>"}) == ("<rating>", "<assistant>", "<review>")


def test_of_a_preamble_the_last_line_is_the_question_s() -> None:
    assert last_line("Be kind.\n- brief\n\n### User:\n") == "\n### User:"
    assert markers([last_line("Q: ")]) == ("\nQ:",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fine. rating:[[10]]", "Rating: [["),
        ("Fine. Rating :  [ [10", "Rating: [["),
        ("###user: more", "### User:"),
        ("a\n  Q : b", "\nQ:"),
        ("a Q: b", None),
        ("a\nq: b", None),
        ("the user: she said", None),
        ("for the USER: this", "USER:"),
        ("My rating is 10.", None),
        ("", None),
    ],
)
def test_another_spelling_is_still_seen(text: str, found: str | None) -> None:
    assert held(text, ["Rating: [[", "### User:", "\nQ:", "USER:"]) == found
