"""Large objects from S3: in parallel ranges, never held in memory, resumed after a kill; ``upload`` sends them.

Why not boto3's own transfers: neither of its clients resumes what a killed process had fetched or sent, nor bounds the
connections of several files together; ``benchmarks/store.py`` compares the speed. botocore retries requests; here only
a body whose connection breaks is retried, from the byte it reached.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html advises parallel ranges.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore import exceptions as boto
from botocore.exceptions import ClientError
from s3transfer.utils import S3_RETRYABLE_DOWNLOAD_ERRORS
from tenacity import stop_after_attempt, wait_none
from urllib3.exceptions import HTTPError

from alma.parallel import in_order
from alma.retry import Backoff, NoProgress, attempts
from alma.store.answers import member, of_an_object
from alma.store.arrival import Agreed, DamagedError
from alma.store.files import publish
from alma.store.ranges import BLOCK_BYTES, RANGE_BYTES, Partial, partial
from alma.store.waiting import waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

Read = TypeVar("Read")

STREAMS = 16
"""Connections of one store at once, over all its files: S3 gives some 50 to 100 MB/s over each, a node takes more."""

ATTEMPTS = 8
"""Of one body without a byte of progress, some ten seconds in all; requests have botocore's own."""

BACKOFF = Backoff(0.05, 5.0)

BROKEN: tuple[type[BaseException], ...] = (
    *(*S3_RETRYABLE_DOWNLOAD_ERRORS, HTTPError),
    *(boto.FlexibleChecksumError, DamagedError),  # an object that is just being replaced, or a bad line
)


class ChangedError(Exception):
    """The object was replaced while it was read."""


class Transfers:
    """Fetches objects of a bucket, by at most as many connections as ``streams`` lets through. Threads may share it.

    Raises what botocore raises, ``ConnectionError``, ``TimeoutError`` and urllib3's errors; ``s3`` explains them.
    """

    def __init__(self, client: S3Client, bucket: str, streams: threading.BoundedSemaphore) -> None:
        self.client = client
        self.bucket = bucket
        self._streams = streams

    def download(self, key: str, path: Path) -> str:
        """Fetches one version of an object to ``path``; returns its SHA-256 in hex, computed as the bytes arrive.

        Resumes an unfinished download of the same ETag, even where its process was killed.
        """
        for attempt in attempts(ChangedError, stop=stop_after_attempt(ATTEMPTS), wait=wait_none()):
            found = of_an_object(self.client.head_object(Bucket=self.bucket, Key=key))
            size = member(found, "ContentLength")
            with attempt:
                return (
                    self._whole(key, path) if size <= RANGE_BYTES else self._ranges(key, path, size, found.get("ETag"))
                )
        raise AssertionError("the last attempt returns or raises")

    def _whole(self, key: str, path: Path) -> str:
        buffer, agreed = bytearray(BLOCK_BYTES), Agreed()

        def read(answer: GetObjectOutputTypeDef) -> str:
            digest, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            target.seek(0)
            target.truncate()
            for block in blocks_of(answer, buffer):
                target.write(block)
                digest.update(block)
                md5.update(block)
            agreed.check(answer, md5.hexdigest())
            return digest.hexdigest()

        with publish(path) as target, self._streams:
            return retry_read(lambda: self.client.get_object(Bucket=self.bucket, Key=key), read)

    def _ranges(self, key: str, path: Path, size: int, etag: str | None) -> str:
        digest = hashlib.sha256()
        with partial(path, size, etag) as file:
            missing = set(file.missing)

            def fetch(index: int) -> None:
                if index in missing:
                    self._range(key, file, index, etag)

            def add(index: int, _: None) -> None:  # while the next ranges arrive, so that it costs no extra time
                for block in file.blocks(index):
                    digest.update(block)

            in_order(fetch, range(file.num_ranges), STREAMS, add)
        return digest.hexdigest()

    def _range(self, key: str, file: Partial, index: int, etag: str | None) -> None:
        at, stop = file.bounds(index)
        buffer = bytearray(BLOCK_BYTES)
        same: Any = {"IfMatch": etag} if etag else {}

        def ask() -> GetObjectOutputTypeDef:
            try:
                return self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={at}-{stop - 1}", **same)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in (412, 416):
                    raise ChangedError from error
                raise

        def read(answer: GetObjectOutputTypeDef) -> None:
            nonlocal at
            if answer.get("ETag") != etag:
                raise ChangedError
            if (length := member(answer, "ContentLength")) != stop - at:
                raise boto.IncompleteReadError(actual_bytes=length, expected_bytes=stop - at)
            for block in blocks_of(answer, buffer):
                file.write(block, at)
                at += len(block)

        with self._streams:
            retry_read(ask, read, lambda: at)
        file.done(index)


def blocks_of(answer: GetObjectOutputTypeDef, buffer: bytearray) -> Iterator[memoryview]:
    """The body of an answer, block by block in ``buffer``. Raises one of ``BROKEN`` if it ends too early."""
    body: Any = answer["Body"]  # the stubs lack readinto
    view = memoryview(buffer)
    while True:
        with waiting("the store"):
            size = body.readinto(buffer)
        if not size:
            return
        yield view[:size]


def retry_read(
    ask: Callable[[], GetObjectOutputTypeDef],
    read: Callable[[GetObjectOutputTypeDef], Read],
    reached: Callable[[], int] = lambda: 0,
) -> Read:
    """``read(ask())``, again after a pause where a body breaks off, ``ATTEMPTS`` times without any progress."""
    for attempt in attempts(BROKEN, stop=NoProgress(ATTEMPTS, reached), wait=BACKOFF):
        answer = ask()  # tried again by botocore alone
        with attempt, closing(answer["Body"]):
            return read(answer)
    raise AssertionError("the last attempt returns or raises")


def code_of(error: BaseException) -> str:
    """S3's code of an error, or ``""``."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def is_transient(error: BaseException) -> bool:
    """Whether the next attempt may succeed: the server is overloaded or cannot be reached."""
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in (429, 500, 502, 503, 504)
    return isinstance(error, (boto.ConnectionError, boto.HTTPClientError, ConnectionError, TimeoutError))
