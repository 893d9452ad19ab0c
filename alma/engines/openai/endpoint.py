"""A served model: what an OpenAI-compatible endpoint is asked, one request at a time or many at once.

What the server says is untrusted, and checked field by field. How a request is sent is in ``alma.engines.openai.http``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from alma.engines.openai.http import Connection, NoAnswerError, NotThereError, choice_of
from alma.errors import ConfigError
from alma.parallel import in_order
from alma.sections import OpenAI

Answer = TypeVar("Answer")

NUM_TRIES_TO_REACH = 3
"""At the start; an address with a typing error in it is not tried for minutes."""


class Endpoint:
    """A served model; leave the ``with`` block and its connections are closed.

    Raises at the start ``ConfigError`` for an endpoint that cannot be reached or does not serve the model, and
    ``AccessError`` for one that refuses the key. A request that fails after every retry raises ``TransientError``.
    """

    def __init__(self, settings: OpenAI) -> None:
        self.settings = settings
        self._connection = Connection(settings)
        self.refusal: Callable[[str], ConfigError] = self._connection.refusal
        self.shown: Callable[[str | bytes], str] = self._connection.shown
        try:
            self.context = self._reach()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of ``/completions`` to ``body``, which names no model: its ``choices[0]`` and ``usage`` joined."""
        return self._asked("/completions", body)

    def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same of ``/chat/completions``, whose body holds ``messages``."""
        return self._asked("/chat/completions", body)

    def complete_all(
        self, bodies: Sequence[Mapping[str, Any]], then: Callable[[int, dict[str, Any]], None]
    ) -> list[dict[str, Any]]:
        """``complete`` of each, ``max_concurrent`` at once; ``then(place, answer)`` is called in order."""
        return self.at_once(lambda place: self.complete(bodies[place]), len(bodies), then)

    def at_once(self, ask: Callable[[int], Answer], num: int, then: Callable[[int, Answer], None]) -> list[Answer]:
        """``ask`` of each place, ``max_concurrent`` at once; what fails ends those that wait for another try."""
        self._connection.over.clear()

        def work(place: int) -> Answer:
            with self._ending():
                return ask(place)

        def heard(place: int, answer: Answer) -> None:
            with self._ending():
                then(place, answer)

        return in_order(work, range(num), self.settings.max_concurrent, heard)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.over.set()
            raise

    def _asked(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._connection.ask("POST", path, {"model": self.settings.model, "n": 1, **body})
        choice = choice_of(answer)
        if choice is None:
            raise self.refusal(f"answers {path} without the one choice that was asked for")
        return {**choice, "usage": answer.get("usage")}

    def _reach(self) -> int | None:
        """The served model's context in tokens, where the server says it."""
        if not self.settings.listed:
            return None
        try:
            answer = self._connection.ask("GET", "/models", silent_tries=NUM_TRIES_TO_REACH)
        except NoAnswerError as error:
            raise self.refusal(f"cannot be reached ({error}): check the address and that the server is up") from error
        except NotThereError:  # few servers have no list; the first completion will tell
            return None
        models = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(models, list):
            raise self.refusal("answers /models otherwise than OpenAI does: does the address end in /v1?")
        found = {str(each["id"]): each for each in models if isinstance(each, dict) and "id" in each}
        model = self.settings.model
        if model not in found:
            names = ", ".join(sorted(map(self.shown, found))[:10]) or "none"
            raise self.refusal(
                f"does not serve openai.model = {model!r}; it serves: {names}; if its list is not whole, set "
                "openai.listed = false"
            )
        context = found[model].get("max_model_len")
        return context if type(context) is int and context > 0 else None
