"""Both sides of ``answer``: asking an engine one thing, and engines that answer one thing after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from alma.engines.protocols import Engine
from alma.engines.requests import Answered, OnTokens, Request

RequestT = TypeVar("RequestT", bound=Request)
AnswerT = TypeVar("AnswerT")


def ask(engine: Engine[RequestT, AnswerT], request: RequestT, on_tokens: OnTokens = lambda _: None) -> AnswerT:
    """The engine's answer to a single request."""
    [answered] = engine.answer([request], on_tokens=on_tokens)
    return answered.answer


class OneByOne(ABC, Generic[RequestT, AnswerT]):
    """Mixed into an engine that finishes each request before it takes the next."""

    @abstractmethod
    def answer_one(self, request: RequestT, on_tokens: OnTokens) -> AnswerT:
        """The answer to ``request``; ``on_tokens`` hears of its tokens."""

    def answer(self, requests: Iterable[RequestT | None], *, on_tokens: OnTokens) -> Iterator[Answered[AnswerT]]:
        """See ``alma.engines.protocols.Engine``."""
        for place, request in enumerate(each for each in requests if each is not None):
            heard: list[int] = []

            def hear(num_tokens: int, heard: list[int] = heard) -> None:
                heard.append(num_tokens)
                on_tokens(num_tokens)

            answer = self.answer_one(request, hear)
            yield Answered(place, answer, len(request), sum(heard))
