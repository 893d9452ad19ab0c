"""A conversation as one text, and what in it is asked."""

from hypothesis import given
from hypothesis import strategies as st

from alma.prompts.conversation import (
    Message,
    asked_text,
    column,
    conversation,
    first_exchange,
    lacks_answer,
    messages,
    questions,
)

SYSTEM, FIRST, ANSWER = Message("system", "Be kind."), Message("user", "1 + 1?"), Message("assistant", "2")


def test_a_single_prompt_is_its_own_text() -> None:
    for row in ({"prompt": "1 + 1?"}, {"prompt": "1 + 1?", "earlier": None}):
        assert asked_text(row) == "1 + 1?"
        assert questions(row) == ["1 + 1?"]
        assert first_exchange(row | {"response": "2"}) == ("1 + 1?", "2")


def test_a_conversation_spells_who_speaks() -> None:
    row = {"prompt": "And 2 + 2?", "earlier": column([SYSTEM, FIRST, ANSWER])}
    assert asked_text(row) == "System: Be kind.\n\nUser: 1 + 1?\n\nAssistant: 2\n\nUser: And 2 + 2?"
    assert first_exchange(row | {"response": "4"}) == ("1 + 1?", "2")
    assert questions(row) == ["1 + 1?", "User: 1 + 1?\n\nAssistant: 2\n\nUser: And 2 + 2?"]


def test_two_turns_of_the_user_in_a_row_lack_an_answer() -> None:
    assert lacks_answer([FIRST])
    assert lacks_answer([SYSTEM, FIRST, ANSWER, FIRST])
    assert not lacks_answer([SYSTEM])
    assert not lacks_answer([SYSTEM, FIRST, ANSWER])


@given(st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text()), max_size=4))
def test_turns_come_back_from_their_column(earlier: list[Message]) -> None:
    assert list(messages(column(earlier))) == earlier
    assert conversation("x", earlier).endswith("x")
    assert len(questions({"prompt": "x", "earlier": column(earlier)})) == 1 + sum(t.role == "user" for t in earlier)
