"""A chat model behind a real HTTP server: what it says, what it costs, and how it fails."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytest

from alma.engines.openai import http
from alma.engines.openai.chat import OpenaiChat, Reply
from alma.errors import ConfigError, TransientError
from alma.sections import OpenAI
from tests.builders.chat_server import ChatStub
from tests.builders.serving import Fault, serving

SLOW_DOWN = Fault(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0"})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.01)


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}


def asked(stub: ChatStub, bodies: list[dict[str, Any]], paid: Any = lambda *_: None, **settings: Any) -> list[Reply]:
    with serving(stub) as address, OpenaiChat(OpenAI(endpoint=address, model="served", **settings)) as chat:
        return chat.reply_all(bodies, paid, lambda *_: None)


def test_replies_are_in_order_and_bounded_and_what_they_cost_is_told_at_once() -> None:
    stub = ChatStub(say=str.upper, delay=lambda: 0.02)
    paid: list[tuple[int, Reply]] = []
    texts = [f"text {i}" for i in range(9)]
    found = asked(stub, [body(text) for text in texts], lambda *each: paid.append(each), max_concurrent=3)
    assert [each.text for each in found] == [text.upper() for text in texts]
    assert all(each.ended and not each.refused for each in found)
    assert sum(each.num_tokens for each in found) == stub.tokens > 0
    assert sorted(paid) == list(enumerate(found))
    assert stub.peak == 3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(SLOW_DOWN, id="429"),
        pytest.param(Fault(503, b"<html>"), id="503"),
        pytest.param(Fault(reset=True), id="reset"),
        pytest.param(Fault(200, b"<html>Sign in</html>"), id="html"),
    ],
)
def test_what_may_pass_is_tried_again(fault: Fault) -> None:
    stub = ChatStub(say=str.upper, faults=deque([fault, None, fault]))
    assert [each.text for each in asked(stub, [body("a"), body("b")])] == ["A", "B"]
    assert len(stub.bodies) == 4


def test_a_limit_that_does_not_pass_ends_it_for_another_try() -> None:
    stub = ChatStub(faults=deque([SLOW_DOWN] * 9))
    with pytest.raises(TransientError, match="HTTP 429: slow down and asks to wait 0 s, at try 3 of 3"):
        asked(stub, [body("a")], retries=2)


def test_one_request_that_is_refused_ends_no_other() -> None:
    filtered = Fault(400, b'{"error": {"message": "the prompt triggered our content policy\\u001b[2J"}}')
    stub = ChatStub(say=str.upper, faults=deque([None, filtered]))
    first, second, third = asked(stub, [body("a"), body("b"), body("c")], max_concurrent=1)
    assert (first.text, third.text) == ("A", "C")
    assert second.refused
    assert second.num_tokens == 0
    assert "HTTP 400: the prompt triggered our content policy" in second.text
    assert second.text.isprintable()


def test_a_refusal_of_all_is_said_at_once() -> None:
    """No credit, or no such model: asking on helps nobody."""
    stub = ChatStub(faults=deque([Fault(402, b'{"error": {"message": "no credit"}}')] * 9))
    start = time.monotonic()
    with pytest.raises(ConfigError, match="HTTP 402: no credit"):
        asked(stub, [body("a")] * 9, max_concurrent=1)
    assert len(stub.bodies) == 1
    assert time.monotonic() - start < 10


def test_a_list_that_is_not_whole_may_be_left_alone() -> None:
    stub = ChatStub(say=str.upper, lists=Fault(500, b"cache not found"))
    [found] = asked(stub, [body("a")], listed=False)
    assert found.text == "A"
    stub.lists = Fault(200, b'{"data": []}')
    with pytest.raises(ConfigError, match=r"it serves: none; if its list is not whole, set openai\.listed = false"):
        asked(stub, [body("a")])


def change(**fields: Any) -> Any:
    return lambda answer: answer["choices"][0].update(fields)


@pytest.mark.parametrize(
    ("alter", "wanted"),
    [
        pytest.param(change(finish_reason="length"), ("A", False), id="cut"),
        pytest.param(change(finish_reason="content_filter"), ("A", False), id="filtered"),
        pytest.param(change(message={"content": None, "refusal": "no"}), ("", True), id="no content"),
        pytest.param(change(message={"content": "half \ud800 a"}), ("half ? a", True), id="half a character"),
    ],
)
def test_the_servers_text_is_not_trusted(alter: Any, wanted: tuple[str, bool]) -> None:
    [found] = asked(ChatStub(say=str.upper, change=alter), [body("a")])
    assert (found.text, found.ended) == wanted


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(change(message="A"), id="message"),
        pytest.param(change(message={"content": [{"text": "A"}]}), id="parts"),
        pytest.param(change(finish_reason=None), id="reason"),
        pytest.param(lambda answer: answer.pop("usage"), id="no usage"),
        pytest.param(lambda answer: answer["usage"].update(prompt_tokens=True), id="usage of another type"),
        pytest.param(lambda answer: answer["usage"].update(completion_tokens=-1), id="negative usage"),
        pytest.param(lambda answer: answer["usage"].update(completion_tokens=10**30), id="endless usage"),
        pytest.param(lambda answer: answer.pop("choices"), id="no choice"),
    ],
)
def test_an_answer_of_another_form_is_refused(alter: Any) -> None:
    with pytest.raises(ConfigError, match="answers /chat/completions") as caught:
        asked(ChatStub(change=alter), [body("a")])
    assert str(caught.value).isprintable()
