"""A STUB of a chat model that judges, as a real HTTP server: its verdicts follow from a hash of what it is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tests.builders.serving import Served

FIELDS = frozenset({"model", "messages", "temperature", "max_tokens", "max_completion_tokens", "n"})


def verdict(text: str) -> str:
    """A grade, or a choice where two answers are compared."""
    digit = hashlib.sha256(text.encode()).digest()[0]
    if "Assistant B" in text:
        return f"One of them is better. [[{'ABC'[digit % 3]}]]"
    return f"It is an answer.\n\nRating: [[{1 + digit % 10}]]"


@dataclass
class ChatStub(Served):
    """A judge that is paid by the token; a token is a word of four letters."""

    path = "/v1/chat/completions"

    say: Callable[[str], str] = verdict
    """From all that it is told to what it writes."""
    refuses: Collection[str] = ()
    """Fields of OpenAI's API that this model does not take, as newer ones of OpenAI do not take a temperature."""
    tokens: int = 0
    """What all who asked have to pay."""

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] != self.name:
            raise LookupError(body["model"])
        for name in body:
            if name in self.refuses or name not in FIELDS:
                raise ValueError(f"Unsupported parameter: {name!r} is not supported with this model.")
        asked = "\n".join(message["content"] for message in body["messages"])
        limit = 4 * (body.get("max_tokens") or body["max_completion_tokens"])
        said = self.say(asked)
        usage = {"prompt_tokens": len(asked) // 4, "completion_tokens": len(said[:limit]) // 4}
        with self.lock:
            self.tokens += sum(usage.values())
        message = {"role": "assistant", "content": said[:limit]}
        reason = "length" if len(said) > limit else "stop"
        return {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}

    def distinct(self) -> int:
        """Of the requests, how many asked something that no other one did."""
        return len({json.dumps(body["messages"]) for body in self.bodies})
