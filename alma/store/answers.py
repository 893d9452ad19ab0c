"""What is no answer of S3's: told apart from mistakes of our own, which no server is to blame for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.parsers import ResponseParserError

_STUMBLES = (LookupError, ValueError, TypeError, AttributeError)
"""What botocore ends in over an answer that it did not expect: a length that is no number, a redirection to nowhere."""


class UnreadableError(ResponseParserError):
    """An answer that is none of S3's; says what of it, and nothing that it holds."""


def answered(call: Callable[..., Any]) -> Callable[..., Any]:
    """botocore's ``call`` of an operation. Raises ``UnreadableError`` where it stumbles over the answer."""

    def asked(*given: Any, **named: Any) -> Any:
        try:
            return call(*given, **named)
        except _STUMBLES as error:
            raise UnreadableError(type(error).__name__) from error

    return asked


def member(answer: Mapping[str, Any], name: str) -> Any:
    """What an answer says. Raises ``UnreadableError`` where it does not say it."""
    try:
        return answer[name]
    except KeyError:
        raise UnreadableError(f"without {name}") from None


def of_an_object(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer, if it says what every server says of an object. The page of a network's login does not.

    Raises ``UnreadableError``.
    """
    if not answer.keys() & {"ETag", "LastModified"}:
        raise UnreadableError("without ETag and Last-Modified")
    return answer
