"""The stage ``appraise`` against a real HTTP server: nothing is guessed, and nothing is paid for twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from alma.artifact import Rows
from alma.artifact.out import Out
from alma.engines.openai import http
from alma.errors import AccessError, ConfigError, StageError, Stopped
from alma.sections import Chat, OpenAI
from alma.stages import appraise
from alma.text.verdict import preference, read_choice, read_rating
from tests.builders.bench import Bench
from tests.builders.chat_server import ChatStub, verdict
from tests.builders.results import pairs, results
from tests.builders.serving import Fault, serving

ANSWERS = {f"question {i}": f"answer {i}" for i in range(10)}
REFUSED = Fault(400, b'{"error": {"message": "This prompt is not allowed"}}')
SLOW_DOWN = Fault(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0"})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def stub() -> ChatStub:
    return ChatStub()


@pytest.fixture
def address(stub: ChatStub) -> Iterator[str]:
    with serving(stub) as found:
        yield found


def chat(address: str, key_variable: str | None = None, **settings: Any) -> Chat:
    openai = OpenAI(endpoint=address, model="served", max_concurrent=3, retries=2, key_variable=key_variable)
    return Chat(name="gpt", openai=openai, **({"part_rows": 4} | settings))


def rows(found: Rows) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = found.table().to_pylist()
    return listed


def test_every_answer_is_graded_once_and_its_cost_counted(bench: Bench, stub: ChatStub, address: str) -> None:
    given = results(bench, ANSWERS)
    graded = bench.run(appraise, chat(address), results=given)
    asked = {body["messages"][1]["content"]: body for body in stub.bodies}
    assert len(stub.bodies) == len(asked) == len(ANSWERS)
    for row, answer in zip(rows(graded), ANSWERS.values(), strict=True):
        [body] = [body for text, body in asked.items() if f"Answer]\n{answer}\n[" in text]
        said = verdict("\n".join(message["content"] for message in body["messages"]))
        assert (row["verdict"], row["score"], row["fault"]) == (said, read_rating(said).score, None)
        assert (body["temperature"], body["max_tokens"]) == (0.0, 2048)
    assert [row["result_id"] for row in rows(graded)] == [row["id"] for row in rows(given)]
    metrics = graded.manifest.metrics
    assert metrics["num_paid_tokens"] == stub.tokens == sum(row["num_paid_tokens"] for row in rows(graded))
    assert metrics["score"] == pytest.approx(sum(row["score"] for row in rows(graded)) / len(ANSWERS))
    assert (metrics["num_requests"], metrics["num_unreadable"]) == (len(ANSWERS), 0)


def test_a_reference_is_shown_to_who_grades(bench: Bench, stub: ChatStub, address: str) -> None:
    bench.run(appraise, chat(address), results=results(bench, {"q": "a"}, reference="the truth"))
    assert "[The Start of Reference Answer]\nthe truth\n" in stub.bodies[0]["messages"][1]["content"]


def test_a_comparison_asks_in_both_orders(bench: Bench, stub: ChatStub, address: str) -> None:
    others = {prompt: answer.upper() for prompt, answer in ANSWERS.items() if prompt != "question 3"}
    given = {"results": results(bench, ANSWERS), "others": pairs(bench, others)}
    compared = bench.run(appraise, chat(address, pairwise=True), **given)
    found = rows(compared)
    assert len(stub.bodies) == 2 * len(others)
    assert (found[3]["fault"], found[3]["preference"], found[3]["num_paid_tokens"]) == ("missing", None, 0)
    for row in [*found[:3], *found[4:]]:
        first, swapped = (read_choice(row[name]).choice for name in ("verdict", "other_verdict"))
        assert first is not None
        assert swapped is not None
        assert row["preference"] == preference(first, swapped)
        assert row["other_num_chars"] == len("ANSWER 3")
    by_place = [
        row for row in found if row["verdict"] and row["verdict"] == row["other_verdict"] and "C" not in row["verdict"]
    ]
    assert compared.manifest.metrics["num_by_place"] == len(by_place) > 0
    assert compared.manifest.metrics["num_paid_tokens"] == stub.tokens


def test_a_conversation_is_compared_with_the_comparators_own_turns(bench: Bench, stub: ChatStub, address: str) -> None:
    def talk(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "first"}, {"role": "assistant", "content": answer}]

    ours = results(bench, {"second": "x"}, earlier=talk("mine"))
    theirs = bench.rows("pair", [{"source_id": "1", "prompt": "second", "response": "y", "earlier": talk("yours")}])
    bench.run(appraise, chat(address, pairwise=True, max_bad_share=1.0), results=ours, others=theirs)
    told = sorted(body["messages"][1]["content"] for body in stub.bodies)
    wanted = "### User:\nfirst\n\n### Assistant {}:\n{}\n\n### User:\nsecond\n\n### Assistant {}:\n{}\n"
    assert wanted.format("A", "mine", "A", "x") in told[0]
    assert wanted.format("B", "yours", "B", "y") in told[0]
    assert wanted.format("B", "mine", "B", "x") in told[1]


def test_what_was_never_answered_is_not_asked_about(bench: Bench, stub: ChatStub, address: str) -> None:
    graded = bench.run(appraise, chat(address), results=results(bench, {"q": ""}, num_tokens=0))
    [row] = rows(graded)
    assert (row["fault"], row["score"], len(stub.bodies)) == ("unanswered", None, 0)


@pytest.mark.parametrize(
    ("said", "fault"),
    [("8 of 10", "none"), ("[[3]] or [[4]]", "several"), ("[[12]]", "range"), ("", "empty"), ("[[3]] " * 99, "cut")],
)
def test_what_cannot_be_read_is_counted_up_to_a_share(
    bench: Bench, stub: ChatStub, address: str, said: str, fault: str
) -> None:
    stub.say = lambda text: said if "answer 7" in text else verdict(text)
    cfg = chat(address, max_new_tokens=64)
    given = results(bench, ANSWERS)
    graded = bench.run(appraise, cfg.changed(max_bad_share=0.1), results=given)
    assert [row["fault"] for row in rows(graded)] == [None] * 7 + [fault] + [None] * 2
    metrics = graded.manifest.metrics
    assert (metrics["num_unreadable"], metrics[f"num_fault_{fault}"]) == (1, 1)
    with pytest.raises(
        StageError, match="1 of 10 answers have no readable verdict by 'served', more than max_bad_share"
    ):
        bench.run(appraise, cfg.changed(max_bad_share=0.09), results=given)


def test_who_answers_nonsense_is_not_asked_to_the_end(bench: Bench, stub: ChatStub, address: str) -> None:
    stub.say = lambda _: "As an AI I like both."
    with pytest.raises(StageError, match=r"4 of 10 answers .*: 4 × no verdict in the form"):
        bench.run(appraise, chat(address, max_bad_share=0.3), results=results(bench, ANSWERS))
    assert len(stub.bodies) == 4, "the first part made it certain"


def test_a_prompt_that_the_endpoint_refuses_is_one_fault(bench: Bench, stub: ChatStub, address: str) -> None:
    stub.faults = deque([None, REFUSED])
    graded = bench.run(appraise, chat(address, max_bad_share=0.1), results=results(bench, ANSWERS))
    [row] = [row for row in rows(graded) if row["fault"]]
    assert (row["fault"], row["num_paid_tokens"]) == ("refused", 0)
    assert row["verdict"] == "HTTP 400: This prompt is not allowed"


def test_a_form_that_the_endpoint_refuses_is_said_with_the_remedy(bench: Bench, stub: ChatStub, address: str) -> None:
    stub.refuses = ["temperature", "max_tokens"]
    given = results(bench, ANSWERS)
    with pytest.raises(ConfigError, match=r"'max_tokens' is not supported.*\n.*temperature = 'default'"):
        bench.run(appraise, chat(address), results=given)
    assert stub.tokens == 0
    cfg = chat(address, temperature="default", limit="max_completion_tokens")
    assert len(rows(bench.run(appraise, cfg, results=given))) == len(ANSWERS)


def test_a_limit_of_the_endpoint_is_waited_for(bench: Bench, stub: ChatStub, address: str) -> None:
    stub.faults = deque([SLOW_DOWN, None, SLOW_DOWN, SLOW_DOWN])
    graded = bench.run(appraise, chat(address), results=results(bench, ANSWERS))
    assert graded.manifest.metrics["num_unreadable"] == 0
    assert len(stub.bodies) == len(ANSWERS) + 3


def test_a_key_that_is_not_there_or_wrong_is_said(
    bench: Bench, stub: ChatStub, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = results(bench, ANSWERS)
    with pytest.raises(ConfigError, match="'GRADER_KEY': that environment variable is not set"):
        bench.run(appraise, chat(address, "GRADER_KEY"), results=given)
    stub.key = "sk-right"
    monkeypatch.setenv("GRADER_KEY", "sk-wrong")
    with pytest.raises(AccessError, match=r"refuses the key in \$GRADER_KEY") as caught:
        bench.run(appraise, chat(address, "GRADER_KEY"), results=given)
    assert "sk-wrong" not in str(caught.value)


def test_a_comparison_without_answers_is_refused(bench: Bench, address: str) -> None:
    given = results(bench, ANSWERS)
    with pytest.raises(ConfigError, match="pairwise = true and the input others is not given"):
        bench.run(appraise, chat(address, pairwise=True), results=given)
    with pytest.raises(ConfigError, match="pairwise = false and the input others is given"):
        bench.run(appraise, chat(address), results=given, others=pairs(bench, ANSWERS))


class Halted(Out):
    """Is asked to stop after so many replies."""

    left = 99

    def check_stop(self) -> None:
        """Counts."""
        self.left -= 1
        if self.left < 0:
            raise Stopped("stopped as asked")


@pytest.mark.parametrize("left", range(1, 10, 2))
def test_who_is_stopped_in_a_part_pays_for_nothing_twice(bench: Bench, stub: ChatStub, address: str, left: int) -> None:
    """What was on its way then is paid for and kept, too."""
    given = results(bench, ANSWERS)
    first = bench.out("appraise")
    halted = Halted(bench.store, first.ref, first.scratch)
    halted.left = left
    with pytest.raises(Stopped):
        appraise.run(chat(address), results=given, out=halted)
    assert len(stub.bodies) < len(ANSWERS)
    with (first.scratch / "paid.jsonl").open("a") as paid:
        paid.write('["torn')  # the line that was being written
    again = Out(bench.store, first.ref, first.scratch)
    graded = bench.seal(again, appraise.run(chat(address), results=given, out=again))
    assert len(stub.bodies) == stub.distinct() == len(ANSWERS)
    assert graded.manifest.metrics["num_paid_tokens"] == stub.tokens
    assert not first.scratch.exists(), "what was kept is of no use any more"
    whole = bench.run(appraise, chat(address), results=given)
    columns = ["score", "verdict", "num_paid_tokens", "fault"]
    assert graded.table(columns) == whole.table(columns)
