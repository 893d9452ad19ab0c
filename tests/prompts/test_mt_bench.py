"""What is asked is what was published, to the letter."""

import json
from importlib import resources

import pytest

from alma.prompts.conversation import Message, column
from alma.prompts.mt_bench import Talk, comparison, grading

PUBLISHED = {
    each["name"]: each
    for each in map(json.loads, (resources.files("alma.prompts") / "mt_bench.jsonl").read_text("utf-8").splitlines())
}
FIELDS = {
    "question": "q2 {question}",
    "question_1": "q1 {answer}",
    "question_2": "q2 {question}",
    "ref_answer_1": "right",
    "ref_answer_2": "right",
    "answer": "x",
    "answer_1": "a1",
    "answer_2": "x",
    "answer_a": "x",
    "answer_b": "y",
    **{f"answer_{each}_1": f"{each}1" for each in "ab"},
    "answer_a_2": "x",
    "answer_b_2": "y",
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_prompt(name: str) -> None:
    before = [Message("user", "q1 {answer}")] if name.endswith("multi-turn") else []
    one, two = (
        Talk.of(
            {
                "earlier": column([*before, *(Message("assistant", f"{first}") for _ in before)]),
                "prompt": "q2 {question}",
                "response": last,
            }
        )
        for first, last in (("a1", "x"), ("b1", "y"))
    )
    reference = "right" if "math" in name else None
    system, user = comparison(one, two, reference) if name.startswith("pair") else grading(one, reference)
    assert system == {"role": "system", "content": PUBLISHED[name]["system_prompt"]}
    wanted = PUBLISHED[name]["prompt_template"]
    if before:  # only the last turn's reference is known
        wanted = wanted.replace("### User:\n{question_1}\n\n### Reference answer:\n{ref_answer_1}\n\n", "")
    assert user == {"role": "user", "content": wanted.format(**FIELDS)}


def test_three_turns_go_on_as_two_do() -> None:
    talk = Talk(("q1", "q2", "q3"), ("a1", "a2", "x"))
    system, user = grading(talk)
    assert "answer to the last user question" in system["content"]
    said = ["### User:\nq1", "### Assistant A:\na1", "### User:\nq2", "### Assistant A:\na2", "### User:\nq3"]
    places = [user["content"].index(each) for each in said]
    assert places == sorted(places)
    for reference in ("r", None):
        assert "second" not in comparison(talk, talk, reference)[0]["content"]


def test_what_the_system_says_stands_before_the_first_question() -> None:
    row = {"earlier": column([Message("system", "Be brief.")]), "prompt": "q", "response": "x"}
    assert "[Question]\nBe brief.\n\nq\n\n[The Start" in grading(Talk.of(row))[1]["content"]
