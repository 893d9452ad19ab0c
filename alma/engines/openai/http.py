"""Requests to an OpenAI-compatible endpoint: tried again where that can help, explained where it cannot.

What the server says is untrusted: it is bounded in size, and shown in messages only as plain text, without the key
should it be in there. Redirects are not followed, so the key goes to the endpoint alone.
"""

from __future__ import annotations

import json
import os
import reprlib
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from tenacity import RetryCallState

from alma.bounded import TooLargeError, TooSlowError, within
from alma.errors import AccessError, ConfigError, TransientError
from alma.retry import Backoff, attempts
from alma.sections import OpenAI

FIRST_WAIT_SECONDS = 0.5
"""Before the second try; doubled before each further one, less up to a half by chance so that clients spread out."""
LONGEST_WAIT_SECONDS = 60.0
LONGEST_ASKED_SECONDS = 300.0
"""A server that asks us to wait for longer (Retry-After) has the process end instead, to be run again later."""
MAX_BYTES = 64 * 2**20
"""Of one answer."""
MOST_TOKENS = 2**31 - 1
"""Of one answer, as it counts them."""
CONNECT_SECONDS = 10.0

_AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)})
_CUT_OFF = ("abort", "error")
"""``finish_reason`` of what a server that shuts down leaves unfinished."""
_THIS_ONE = frozenset({400, 413, 422, 451})
"""What is said of a request's form or content, and need not hold for the next one."""
_SHOWN_CHARS = 300


class RequestRefusedError(ConfigError):
    """The endpoint answers, and will not do what this one request asks for; ``said`` are its words."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class NoAnswerError(TransientError):
    """Nothing answered."""


class NotThereError(Exception):
    """The server has no such path."""


class Connection:
    """The way to one endpoint; ``close`` wakes what waits for another try.

    Raises ``ConfigError`` at the start for a key that is none.
    """

    def __init__(self, settings: OpenAI) -> None:
        self.settings = settings
        self.over = threading.Event()
        """Set when nothing is to be tried again."""

        self._key = _key(settings.key_variable)
        # Not compressed: a kilobyte can grow into a gigabyte before its size can be seen.
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        seconds = settings.timeout_seconds
        try:
            self._client = httpx2.Client(
                headers=headers,
                timeout=httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
                limits=httpx2.Limits(max_connections=settings.max_concurrent),
            )
        except (ValueError, OSError, httpx2.InvalidURL) as error:
            raise ConfigError(
                f"the environment's proxy or certificates cannot be used: {error}; check HTTP_PROXY, HTTPS_PROXY, "
                "ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error

    def close(self) -> None:
        """Ends its connections."""
        self.over.set()
        self._client.close()

    def refusal(self, fault: str) -> ConfigError:
        """The error that says what is wrong with this endpoint."""
        return ConfigError(self._said(fault))

    def _said(self, fault: str) -> str:
        return f"openai.endpoint = {self.settings.endpoint!r} {fault}"

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, silent_tries: int | None = None
    ) -> Any:
        """The JSON that answers this request, after as many tries as it takes; ``silent_tries`` where nothing answers.

        Raises ``RequestRefusedError``, ``ConfigError`` and ``AccessError`` for what no further try mends, and
        ``TransientError`` after the last one.
        """
        tries = self.settings.retries + 1
        attempt_number = 0

        def last(state: RetryCallState) -> bool:
            fault = _fault_of(state)
            at_end = state.attempt_number == tries or (fault.silent and state.attempt_number == silent_tries)
            return at_end or (fault.wait_seconds or 0) > LONGEST_ASKED_SECONDS

        try:
            for attempt in attempts(_AgainError, stop=last, wait=_pause, sleep=self._sleep):
                with attempt:
                    attempt_number = attempt.retry_state.attempt_number
                    return self._send(method, path, body)
        except _AgainError as fault:
            kind = NoAnswerError if fault.silent else TransientError
            asks = f" and asks to wait {fault.wait_seconds:.0f} s" if fault.wait_seconds is not None else ""
            raise kind(
                f"{self.settings.endpoint}{path}: {fault}{asks}, at try {attempt_number} of {tries}; finished parts "
                "are published, run again to go on"
            ) from fault
        raise AssertionError("the last attempt returns or raises")

    def _sleep(self, seconds: float) -> None:
        """Until the next attempt. Raises ``CancelledError`` where another request has failed for good meanwhile."""
        if self.over.wait(seconds):
            raise CancelledError

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        deadline = time.monotonic() + self.settings.timeout_seconds
        try:
            with self._client.stream(method, self.settings.endpoint + path, json=body) as response:
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise self.refusal(f"answers {path} compressed, which it was asked not to do")
                content = b"".join(within(response.iter_raw(), MAX_BYTES, deadline))
        except TooLargeError as error:
            raise self.refusal(f"answers {path} with {error}") from error
        except TooSlowError as error:
            raise _AgainError(f"no whole answer within {self.settings.timeout_seconds:g} s", silent=True) from error
        except httpx2.TimeoutException as error:
            raise _AgainError(f"no answer ({type(error).__name__})", silent=True) from error
        except httpx2.RequestError as error:
            raise _AgainError(self.shown(str(error) or type(error).__name__), silent=True) from error
        except (httpx2.InvalidURL, UnicodeError) as error:  # a host that no name server can be asked about
            raise self.refusal(f"is no address: {self.shown(str(error))}; mend it") from error
        if response.status_code != 200:
            raise self._fault(response, path, content)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _AgainError(f"HTTP 200 with what is no JSON: {self.shown(content)}") from error
        if (choice_of(answer) or {}).get("finish_reason") in _CUT_OFF:
            raise _AgainError("the server gave the answer up")
        return answer

    def _fault(self, response: httpx2.Response, path: str, content: bytes) -> Exception:
        """What an answer other than 200 means."""
        code, said = response.status_code, self.shown(_message(content))
        if code in _AGAIN:
            return _AgainError(f"HTTP {code}: {said}", _asked_seconds(response.headers.get("Retry-After")))
        if code in (401, 403):
            variable = self.settings.key_variable
            remedy = f"the key in ${variable}" if variable else "a request without a key (set openai.key_variable)"
            return AccessError(f"openai.endpoint = {self.settings.endpoint!r} refuses {remedy}: HTTP {code}: {said}")
        if code in (404, 405) and path == "/models":
            return NotThereError(said)
        if code == 404:
            return self.refusal(
                f"has no openai.model = {self.settings.model!r} or no {path}: HTTP 404: {said}; check the name, and "
                "that the address ends in /v1"
            )
        if 300 <= code < 400:
            to = self.shown(response.headers.get("Location", "nowhere"))
            return self.refusal(f"redirects {path} to {to}, where the key is not sent; set the address that answers")
        message = self._said(f"refuses the request to {path}: HTTP {code}: {said}")
        return RequestRefusedError(message, f"HTTP {code}: {said}") if code in _THIS_ONE else ConfigError(message)

    def shown(self, said: str | bytes) -> str:
        """The server's words for a message: one plain line, without the key."""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        text = text[: 10 * _SHOWN_CHARS] if self._key is None else text.replace(self._key, "[key]")
        text = "".join(each if each.isprintable() else " " for each in text)
        return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


class _AgainError(Exception):
    """What another try may mend; ``silent`` where no HTTP answer came."""

    def __init__(self, fault: str, wait_seconds: float | None = None, *, silent: bool = False) -> None:
        super().__init__(fault)
        self.wait_seconds = wait_seconds
        self.silent = silent


def _fault_of(state: RetryCallState) -> _AgainError:
    """Why an attempt failed."""
    fault = state.outcome and state.outcome.exception()
    assert isinstance(fault, _AgainError)
    return fault


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: as many as the server asks for, where it does."""
    drawn = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, least=0.5)(state)
    asked = _fault_of(state).wait_seconds
    # All clients were told the same moment: only from it on do they spread out.
    return drawn if asked is None else asked + min(drawn, 0.1 * asked)


def _key(variable: str | None) -> str | None:
    """The key, which is shown nowhere, or ``None``. Raises ``ConfigError``."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"openai.key_variable = {variable!r}: that environment variable is not set or empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"openai.key_variable = {variable!r}: its value holds a space or line break; it is no key")
    return key


def choice_of(answer: Any) -> dict[str, Any] | None:
    """The one choice of an answer, or ``None``."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return None
    return dict(choices[0])


def tokens_of(usage: Any, name: str) -> int | None:
    """How many tokens an answer's ``usage`` states as ``name``; ``None`` where that is no number there can be."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else None


def few_levels(fields: Mapping[str, Any]) -> str:
    """``fields`` for a message; a server may nest them as deep as JSON's reader takes, which is deeper than ``str``."""
    return reprlib.repr(dict(fields))


def _message(content: bytes) -> str:
    """What an error's body says: OpenAI's ``error.message``, others' ``message`` or ``detail``, or all of it."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace") or "no message"
    while isinstance(told, dict):
        told = next((told[name] for name in ("error", "message", "detail") if told.get(name)), str(told))
    return str(told)


def _asked_seconds(header: str | None) -> float | None:
    """How long a Retry-After asks to wait: a number of seconds or a date (RFC 9110, 10.2.3); others are ignored."""
    if header is None:
        return None
    if header.strip().isdecimal() and header.isascii():
        return float(header)
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
