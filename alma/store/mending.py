"""What botocore is kept from, and what is said while it tries again: handlers of its events.

https://docs.aws.amazon.com/botocore/latest/reference/services/s3.html and botocore's ``hooks`` name the events.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

from botocore.response import StreamingBody

from alma.store.answers import answered
from alma.store.bounded import FIRST_ERROR, bounded
from alma.store.waiting import begin, end, word

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


IN_CONFLICT = (408, 409)
"""Of another request at the same time, or too slow: botocore gives up at once where S3 says to try again."""

LONGEST_PAUSE_SECONDS = 20.0


def prepare(client: S3Client, whom: str, most_attempts: int) -> None:
    """Registers the handlers. ``whom`` is what a person reads: the store and its endpoint."""

    def conflicts(response: tuple[Any, Any] | None, attempts: int, **_: object) -> float | None:
        if response is None or response[0].status_code not in IN_CONFLICT or attempts >= most_attempts:
            return None
        return random.uniform(0.5, 1.0) * min(2.0 ** (attempts - 1), LONGEST_PAUSE_SECONDS)

    def sent(request: Any, **_: object) -> None:
        attempt = re.search(r"attempt=(\d+); max=(\d+)", _text(request.headers.get("amz-sdk-request", "")))
        if attempt and int(attempt[1]) > 1:
            word(f"{whom} did not answer well; attempt {attempt[1]} of {attempt[2]}")
        begin(whom)

    def received(**_: object) -> None:
        end()

    session = client._endpoint.http_session  # type: ignore[attr-defined]
    session.send = bounded(session.send)
    client._make_api_call = answered(client._make_api_call)  # type: ignore[attr-defined]
    events = client.meta.events
    events.register("before-send.s3", sent)
    events.register("response-received.s3", received)
    events.register("before-parse.s3", keep_errors_plain)
    events.register("needs-retry.s3", conflicts)  # type: ignore[arg-type]  # a pause is asked for by its answer
    events.register("before-call.s3.HeadBucket", follow_no_further)


def keep_errors_plain(response_dict: dict[str, Any], **_: object) -> None:
    """Takes the checksum off the body of an error.

    A server that states one with an error, as rclone does while an object is being replaced, gives botocore a stream
    where its parser wants bytes, and it ends in an ``AttributeError``. The body was read already; the status remains.
    """
    if response_dict["status_code"] >= FIRST_ERROR and isinstance(response_dict["body"], StreamingBody):
        response_dict["body"] = b""


def follow_no_further(context: dict[str, Any], **_: object) -> None:
    """Has botocore not follow the answer to a question that is itself about a redirection.

    To a redirection that does not say where to, it asks for the bucket, follows the answer to that, asks for the
    bucket, and so on without end.
    """
    context.get("s3_redirect", {})["redirected"] = True


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
