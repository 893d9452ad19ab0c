"""Requests that follow one another without a pause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from alma.engines import GenerateRequest, ask
from tests.engines.vllm.checkpoints import ASKED, SAMPLING


def request(number: int, samples: int = 20) -> GenerateRequest:
    texts = [f"{text}{number}" for text in ASKED]
    return GenerateRequest(texts, [[100 * number + each for each in range(samples)]] * 5, SAMPLING, 15, ["\n"])


def test_the_next_request_enters_before_the_last_ones_stragglers_leave(micro: Any) -> None:
    events: list[tuple[str, int]] = []

    def requests() -> Iterator[GenerateRequest]:
        for number in range(6):
            events.append(("taken", number))
            yield request(number)  # 100 samples; the engine runs 64 and has 64 wait

    answers = {}
    for answered in micro.answer(requests(), on_tokens=lambda _: None):
        events.append(("answered", answered.place))
        answers[answered.place] = answered
    for number in range(5):
        assert events.index(("taken", number + 1)) < events.index(("answered", number))
    for number in range(3):
        assert events.index(("taken", number + 3)) > events.index(("answered", number)), "far more is taken than needed"
    assert sorted(answers) == [*range(6)]
    for number in (0, 3, 5):
        alone = ask(micro, request(number))
        assert answers[number].answer == alone
        assert answers[number].num_rows == 100
        assert answers[number].num_tokens == sum(each.num_tokens for row in alone for each in row)


def test_what_runs_is_taken_back_when_there_are_no_more_requests_to_be_had(micro: Any) -> None:
    def requests() -> Iterator[GenerateRequest]:
        yield request(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(micro.answer(requests(), on_tokens=lambda _: None))
    assert not micro.llm.llm_engine.has_unfinished_requests()
    for _ in micro.answer([request(0), request(1)], on_tokens=lambda _: None):
        break  # the caller leaves
    assert not micro.llm.llm_engine.has_unfinished_requests()
