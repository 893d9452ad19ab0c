"""A chat model that somebody serves, asked for texts that are paid for: ``OpenaiChat``.

Unlike ``OpenaiGenerator`` it knows nothing of the model but its name: messages are sent as text, and the server writes
its own template around them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from alma.engines.openai.endpoint import Endpoint
from alma.engines.openai.http import RequestRefusedError, few_levels, tokens_of

MAX_CHARS = 1_000_000
"""Longest text of an answer; more than any judge writes within its tokens."""


class Reply(NamedTuple):
    """What a request came to."""

    text: str
    """What the model wrote; where the request was ``refused``, what the endpoint said instead."""

    ended: bool
    """Whether the text came to its own end."""

    num_tokens: int
    """Prompt and answer together, as the endpoint counts them: what is paid for."""

    refused: bool = False
    """The endpoint would not answer this request, and may answer others."""


class OpenaiChat(Endpoint):
    """``/chat/completions``, one request per body."""

    def reply_all(
        self,
        bodies: Sequence[Mapping[str, Any]],
        paid: Callable[[int, Reply], None],
        then: Callable[[int, Reply], None],
    ) -> list[Reply]:
        """A reply to each, ``max_concurrent`` at once.

        ``paid(place, reply)`` is called in the thread that got it, at once; ``then`` in this thread and in order.
        Raises as ``Endpoint``; ``ConfigError`` for an answer of another form than OpenAI's.
        """

        def reply(place: int) -> Reply:
            found = self.reply(bodies[place])
            paid(place, found)
            return found

        return self.at_once(reply, len(bodies), then)

    def reply(self, body: Mapping[str, Any]) -> Reply:
        """The reply to one body: ``messages`` and whatever else is asked for."""
        try:
            told = self.chat(body)
        except RequestRefusedError as refusal:
            return Reply(refusal.said, ended=False, num_tokens=0, refused=True)
        message, reason = told.get("message"), told.get("finish_reason")
        text = message.get("content") if isinstance(message, dict) else None
        num_tokens = _paid(told.get("usage"))
        # A model that reasons until its tokens are used up, or a filter, leaves no content at all.
        fits = isinstance(message, dict) and isinstance(text, str | None) and isinstance(reason, str)
        if not fits or num_tokens is None:
            fields = {"message": type(message).__name__, "content": type(text).__name__, "finish_reason": reason}
            said = self.shown(few_levels({**fields, "usage": told.get("usage")}))
            raise self.refusal(f"answers /chat/completions otherwise than OpenAI does: {said}")
        text = (text or "").encode("utf-8", "replace").decode()  # JSON may spell halves of characters
        return Reply(text[:MAX_CHARS], ended=reason == "stop", num_tokens=num_tokens)


def _paid(usage: Any) -> int | None:
    """Tokens of prompt and answer together, where the server says both."""
    asked, answered = (tokens_of(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    return None if asked is None or answered is None else asked + answered
