"""What a run pays to endpoints, before it starts."""

from __future__ import annotations

import pytest

from alma import plan
from alma.plan.paid import VERDICT_TOKENS, Paid
from alma.plan.step import Step
from alma.prompts.mt_bench import PROMPT_TOKENS, Talk, comparison, grading
from tests.builders.recipe import settings

GPT = 'name="gpt", kind="chat", openai={endpoint="http://a/v1", model="grader-[1]"}'
OTHER = 'name="other", kind="answers", by="gpt", answers={source="micro/answers.jsonl"}'
RUN = ["alma.evaluation_prompts.limit=50", f"alma.evaluators=[{{{GPT}}}, {{{OTHER}}}]"]


def planned(*overrides: str) -> dict[str, Step]:
    steps = plan.plan(settings(*RUN, *overrides), prompt_tokens=10, response_tokens=16)
    return {step.label: step for step in steps}


def test_a_grade_is_one_request_and_a_comparison_two(capsys: pytest.CaptureFixture[str]) -> None:
    steps = planned()
    answer = 16
    grade, pair = steps["round 01 · evaluate gpt"].paid, steps["round 01 · evaluate other pairs"].paid
    assert grade == Paid("grader-[1]", 50, 1, PROMPT_TOKENS + 10 + answer, VERDICT_TOKENS)
    assert pair == Paid("grader-[1]", 50, 2, 2 * (PROMPT_TOKENS + 10 + 2 * answer), 2 * VERDICT_TOKENS)
    plan.print_plan(list(steps.values()))
    said = capsys.readouterr().out
    sent = 4 * 50 * (PROMPT_TOKENS + 10 + answer)
    [line] = [line for line in said.splitlines() if "grades" in line]
    cells = [each.strip() for each in line.split("│")[1:-1]]
    per_answer = PROMPT_TOKENS + 10 + answer + VERDICT_TOKENS
    assert cells == ["grader-[1]", "grades", "200", f"{sent:,}", f"{200 * VERDICT_TOKENS:,}", f"{per_answer}"]
    assert "multiply what an answer takes" in " ".join(said.split())


def test_fewer_checkpoints_and_short_verdicts_cost_less() -> None:
    few = planned("alma.evaluators.gpt.every='ends'", "alma.evaluators.gpt.max_new_tokens=50")
    graded = [step for step in few.values() if step.paid and step.paid.requests == 1]
    assert [step.label for step in graded] == ["round 00 · evaluate gpt", "round 03 · evaluate gpt"]
    assert graded[0].paid
    assert graded[0].paid.written_tokens == 50


def test_a_run_without_endpoints_says_nothing_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    plan.print_plan(plan.plan(settings(), prompt_tokens=10, response_tokens=16))
    assert "endpoints" not in capsys.readouterr().out


def test_the_prompts_own_words_are_counted_about_right() -> None:
    """By four characters a token, as English has it."""
    talk = Talk(("q",), ("a",))
    for messages in (grading(talk), comparison(talk, talk, "r")):
        assert 0.7 * PROMPT_TOKENS < sum(len(each["content"]) for each in messages) / 4 < 1.6 * PROMPT_TOKENS
