"""What is asked is what was published, to the letter."""

import json
from importlib import resources

import pytest

from alma.prompts.mt_bench import Question, comparison, grading

PUBLISHED = {
    each["name"]: each
    for each in map(json.loads, (resources.files("alma.prompts") / "mt_bench.jsonl").read_text("utf-8").splitlines())
}
EARLIER = [("q1 {answer}", "a1")]
FIELDS = {
    "question": "q2 {question}",
    "question_1": "q1 {answer}",
    "question_2": "q2 {question}",
    "ref_answer_1": "right",
    "answer": "x",
    "answer_1": "a1",
    "answer_2": "x",
    "answer_a": "x",
    "answer_b": "y",
    **{f"answer_{each}_1": "a1" for each in "ab"},
    "answer_a_2": "x",
    "answer_b_2": "y",
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_prompt(name: str) -> None:
    earlier = EARLIER if name.endswith("multi-turn") else []
    question = Question("q2 {question}", "right" if "math" in name else None, earlier)
    system, user = comparison(question, "x", "y") if name.startswith("pair") else grading(question, "x")
    assert system == {"role": "system", "content": PUBLISHED[name]["system_prompt"]}
    # The reference of a conversation is of its last turn; of those before it is what was said.
    fields = FIELDS | ({"ref_answer_1": "a1", "ref_answer_2": "right"} if earlier else {})
    assert user == {"role": "user", "content": PUBLISHED[name]["prompt_template"].format(**fields)}


def test_three_turns_go_on_as_two_do() -> None:
    system, user = grading(Question("q3", None, [("q1", "a1"), ("q2", "a2")]), "x")
    assert "answer to the last user question" in system["content"]
    said = ["### User:\nq1", "### Assistant A:\na1", "### User:\nq2", "### Assistant A:\na2", "### User:\nq3"]
    places = [user["content"].index(each) for each in said]
    assert places == sorted(places)
    for pair in (Question("q3", "r", [("q1", "a1")] * 2), Question("q3", None, [("q1", "a1")] * 2)):
        assert "second" not in comparison(pair, "x", "y")[0]["content"]
