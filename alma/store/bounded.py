"""What a server answers beside the bytes of objects is small: errors, listings. What is not ends before memory does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from botocore.parsers import ResponseParserError

from alma.bounded import TooLargeError, within

ANSWER_BYTES = 2**24
"""Of an answer that is parsed: a page of a listing has a thousand keys of a kilobyte at most."""
OBJECT_BYTES = 2**28
"""Of an object that is held in memory: a manifest."""

FIRST_ERROR = 300


class TooLongError(ResponseParserError):
    """An answer without end, or one that is none of S3's."""


def whole(pieces: Iterable[bytes], most: int) -> bytes:
    """The bytes of ``pieces``. Raises ``TooLongError`` where they are more than ``most``."""
    try:
        return b"".join(within(pieces, most))
    except TooLargeError as error:
        raise TooLongError(str(error)) from error


def bounded(send: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """botocore's ``send`` of a request, which would hold all that is parsed in memory, however much comes."""

    def sent(request: Any) -> Any:
        streams, request.stream_output = request.stream_output, True  # so that it is not read there
        answer = send(request)
        if not streams or answer.status_code >= FIRST_ERROR:
            answer._content = whole(answer.raw.stream(2**16), ANSWER_BYTES)
        return answer

    return sent
