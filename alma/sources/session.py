"""The Hub's answers to questions, which ``huggingface_hub`` would hold in memory, however much comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx2

from alma.bounded import within

ANSWER_BYTES = 2**26
"""Of one answer: a listing's page of a thousand files has a megabyte."""

FIRST_REDIRECTION = 300


class _Bounded(httpx2.SyncByteStream):
    """A body that raises ``ValueError`` where it goes beyond ``ANSWER_BYTES``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return within(self._stream, ANSWER_BYTES)

    def close(self) -> None:
        self._stream.close()


def bound_answers() -> None:
    """Bounds what the Hub answers to ``huggingface_hub`` in this process; files, which are streamed, are not.

    And asks it for nothing but what is wanted: the library keeps a list of programs by which it calls itself, unchecked
    and for a day; a login page that once answered for the Hub would so be heard in every later answer.
    """
    from huggingface_hub import constants

    constants.HF_HUB_DISABLE_TELEMETRY = True
    _bound_sessions()


@cache
def _bound_sessions() -> None:
    """Of all sessions from now on: the library begins another one where it could not connect."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def session() -> Any:
        client = default_client_factory()
        client.event_hooks["request"].append(_ask_for_plain)
        client.event_hooks["response"] += [_bound, _hurry]
        return client

    set_client_factory(session)


def _hurry(response: Any) -> None:
    """Takes off what asks to wait for long: the library sleeps for as long as it says, and then for its own pauses."""
    for name, asked in (("Retry-After", r"\d{1,3}"), ("RateLimit", r".*;t=\d{1,3}")):
        if not re.fullmatch(asked, response.headers.get(name, "").strip(), re.ASCII):
            response.headers.pop(name, None)


def _ask_for_plain(request: Any) -> None:
    """Nothing compressed: a megabyte can grow into a gigabyte before its size can be seen."""
    request.headers["Accept-Encoding"] = "identity"


def _bound(response: Any) -> None:
    """Of an answer that is read as a whole: to a question, or one that is no file after all."""
    if "/api/" not in response.request.url.path and response.status_code < FIRST_REDIRECTION:
        return
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity" and response.request.method != "HEAD":
        raise ValueError(f"an answer in {encoding}, which was asked to be plain")
    response.stream = _Bounded(response.stream)
