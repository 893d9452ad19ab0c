"""Engines that answer one request after another, and the single request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alma.engines import (
    UNREADABLE,
    EmbedRequest,
    GenerateRequest,
    OneByOne,
    OnTokens,
    Rating,
    Request,
    ScoreRequest,
    ask,
    load_embedder,
    load_generator,
    load_scorer,
)
from alma.sections import Inference, Judge, Sampling

SAMPLING = Sampling(temperature=1.0)


class Letters(OneByOne[EmbedRequest, list[str]]):
    """Answers with the texts in capitals; a token is a letter."""

    def answer_one(self, request: EmbedRequest, on_tokens: OnTokens) -> list[str]:
        for text in request.texts_P:
            on_tokens(len(text))
        return [text.upper() for text in request.texts_P]


def test_each_request_is_answered_before_the_next_is_taken() -> None:
    events: list[str] = []

    def requests() -> Iterator[EmbedRequest | None]:
        for texts in (["a", "bc"], None, [], ["def"]):
            events.append(f"takes {texts}")
            yield None if texts is None else EmbedRequest(texts, 9)

    found = []
    for answered in Letters().answer(requests(), on_tokens=lambda num: events.append(f"hears {num}")):
        events.append(f"has {answered.answer}")
        found.append((answered.place, answered.num_rows, answered.num_tokens))
    assert found == [(0, 2, 3), (1, 0, 0), (2, 1, 3)]
    assert events == [
        *("takes ['a', 'bc']", "hears 1", "hears 2", "has ['A', 'BC']"),
        *("takes None", "takes []", "has []"),
        *("takes ['def']", "hears 3", "has ['DEF']"),
    ]


def test_what_on_tokens_raises_ends_it() -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Letters(), EmbedRequest(["a"], 9), stop)


def test_engines_answer_requests_as_they_answer_single_ones(tmp_path: Path) -> None:
    texts = ["one two", "three"]
    cases: list[tuple[Any, list[Request]]] = [
        (load_generator, [GenerateRequest(texts, [[seed, 2]] * 2, SAMPLING, 9) for seed in (0, 1)]),
        (load_scorer, [ScoreRequest(texts, [[each, " b"]] * 2, 9) for each in (" a", " c")]),
        (load_embedder, [EmbedRequest(texts[:num], 9) for num in (1, 2)]),
    ]
    for load, requests in cases:
        cfg = Judge(engine="echo") if load is load_scorer else Inference(engine="echo")
        with load(cfg, tmp_path) as engine:
            several = list(engine.answer(requests, on_tokens=lambda _: None))
            assert [each.place for each in several] == [0, 1]
            assert [each.num_rows for each in several] == list(map(len, requests))
            for answered, request in zip(several, requests, strict=True):
                assert repr(answered.answer) == repr(ask(engine, request))
                pieces = [ask(engine, piece) for piece in request.split(1)]
                assert repr(request.join(pieces)) == repr(answered.answer)
            assert repr(several[0].answer) != repr(several[1].answer)


def test_equal_responses_are_rated_once_and_what_was_not_rated_is_unreadable() -> None:
    request = ScoreRequest(["p", "q"], [["a", "b", "a"], ["a"]], 9)
    assert request.distinct() == {(0, "a"): "pa", (0, "b"): "pb", (1, "a"): "qa"}
    good, bad = Rating((1.0,), 1.0), Rating((1.0,), 0.5)
    assert request.answer({(0, "a"): good, (1, "a"): bad}) == [[good, UNREADABLE, good], [bad]]
