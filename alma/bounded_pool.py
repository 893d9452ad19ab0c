"""Answers of an API server as generated clients (kfp's, Kubernetes') read them, but bounded in size and in time."""

from __future__ import annotations

import io
import time
from typing import Any

from alma.bounded import TooLargeError, TooSlowError, within

MOST_BYTES = 2**26
"""Of one answer: a run with all its tasks has a few megabytes."""

PIECE_BYTES = 2**16


class BoundedPool:
    """In the place of the client's pool of connections, which holds all that comes, for as long as something comes."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def request(self, method: str, url: str, *, timeout: Any, preload_content: bool = True, **named: Any) -> Any:
        """The whole answer, where a client would read it later too. Raises ``urllib3``'s errors."""
        import urllib3

        del preload_content
        answer = self._pool.request(method, url, timeout=timeout, preload_content=False, **named)
        deadline = time.monotonic() + timeout.read_timeout
        try:  # at its end the connection goes back to the pool
            pieces = iter(lambda: answer.read1(PIECE_BYTES), b"")  # as they come: stream() waits for whole ones
            content = b"".join(within(pieces, MOST_BYTES, deadline))
        except BaseException as error:
            answer.close()
            if isinstance(error, TooLargeError):
                raise urllib3.exceptions.HTTPError(f"an answer of {error}") from error
            if isinstance(error, TooSlowError):
                raise urllib3.exceptions.HTTPError(f"no whole answer within {timeout.read_timeout:g} s") from error
            raise
        return urllib3.HTTPResponse(
            io.BytesIO(content), answer.headers, answer.status, reason=answer.reason, decode_content=False
        )
