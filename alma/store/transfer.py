"""Large objects to and from S3: in parallel ranges and parts, never held in memory, resumed after a kill.

Why not boto3's own transfers: neither of its clients resumes what a killed process had fetched or sent, nor bounds the
connections of several files together; ``benchmarks/store.py`` compares the speed. botocore retries requests; here only
a body whose connection breaks is retried, from the byte it reached.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html advises parallel ranges.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore import exceptions as boto
from botocore.exceptions import ClientError
from s3transfer.utils import S3_RETRYABLE_DOWNLOAD_ERRORS
from tenacity import stop_after_attempt, wait_none
from urllib3.exceptions import HTTPError

from alma.parallel import in_order
from alma.retry import Backoff, NoProgress, attempts
from alma.store.files import publish
from alma.store.multipart import PART_BYTES, Parts, identifiers
from alma.store.ranges import BLOCK_BYTES, RANGE_BYTES, Partial, partial

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

Read = TypeVar("Read")

STREAMS = 16
"""Connections of one store at once, over all its files: S3 gives some 50 to 100 MB/s over each, a node takes more."""

ATTEMPTS = 8
"""Of one body without a byte of progress, some ten seconds in all; requests have botocore's own."""

BACKOFF = Backoff(0.05, 5.0)

BROKEN: tuple[type[BaseException], ...] = (*S3_RETRYABLE_DOWNLOAD_ERRORS, HTTPError)
MAY_NOT_LIST = ("AccessDenied", "NotImplemented", "MethodNotAllowed", "501", "405")


class ChangedError(Exception):
    """The object was replaced while it was read."""


class Transfers:
    """Moves files between this machine and a bucket. May be shared by threads.

    Raises what botocore raises, ``ConnectionError``, ``TimeoutError`` and urllib3's errors; ``s3`` explains them.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self.bucket = bucket
        self._streams = threading.BoundedSemaphore(STREAMS)

    def download(self, key: str, path: Path) -> str:
        """Fetches one version of an object to ``path``; returns its SHA-256 in hex, computed as the bytes arrive.

        Resumes an unfinished download of the same ETag, even where its process was killed.
        """
        for attempt in attempts(ChangedError, stop=stop_after_attempt(ATTEMPTS), wait=wait_none()):
            found = self.client.head_object(Bucket=self.bucket, Key=key)
            size = found["ContentLength"]
            with attempt:
                return (
                    self._whole(key, path) if size <= RANGE_BYTES else self._ranges(key, path, size, found.get("ETag"))
                )
        raise AssertionError("the last attempt returns or raises")

    def _whole(self, key: str, path: Path) -> str:
        buffer = bytearray(BLOCK_BYTES)

        def read(answer: GetObjectOutputTypeDef) -> str:
            digest = hashlib.sha256()
            target.seek(0)
            target.truncate()
            for block in blocks_of(answer, buffer):
                target.write(block)
                digest.update(block)
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
            if answer["ContentLength"] != stop - at:
                raise boto.IncompleteReadError(actual_bytes=answer["ContentLength"], expected_bytes=stop - at)
            for block in blocks_of(answer, buffer):
                file.write(block, at)
                at += len(block)

        with self._streams:
            retry_read(ask, read, lambda: at)
        file.done(index)

    def upload(self, path: Path, key: str) -> None:
        """Publishes a file by one put or in parts.

        Resumes an unfinished multipart upload of this key if every part it has is one of this file's, by MD5 (the ETag)
        or CRC-32; where the server does not let us list uploads, it starts a new one. Where the server cannot be
        reached any more, the upload is kept for the next attempt; any other failure aborts it.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= PART_BYTES:
                with self._streams:
                    self.client.put_object(Bucket=self.bucket, Key=key, Body=file)
                return
        parts = Parts(path, size)
        for attempt in itertools.count(1):
            upload, known = self._unfinished(key, parts) if attempt == 1 else ("", {})
            upload = (
                upload or self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **self._crc())["UploadId"]
            )
            try:
                self._parts(key, upload, parts, known)
            except BaseException as error:
                # Another process may have resumed this upload and completed or aborted it.
                if code_of(error) in ("NoSuchUpload", "InvalidPart") and attempt < 3:
                    upload, known = "", {}
                    continue
                if not is_transient(error):
                    with suppress(Exception):
                        self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
                raise
            return

    def _parts(self, key: str, upload: str, parts: Parts, known: dict[int, dict[str, Any]]) -> None:
        missing = [number for number in parts.numbers if number not in known]
        order, order_lock, sent = iter(missing), threading.Lock(), dict(known)

        def send(_: int) -> None:
            # Parts take connections in their order: a server that receives a file's parts in order (rclone) would
            # otherwise hold later parts on all connections, waiting for ever for an earlier part that finds none free.
            with order_lock:
                number = next(order)
                self._streams.acquire()
            try:
                with closing(parts.open(number)) as part:
                    body: Any = part  # readable, though not of the type in the stubs
                    answer = self.client.upload_part(
                        Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **self._crc()
                    )
            finally:
                self._streams.release()
            sent[number] = identifiers(answer)

        in_order(send, missing, STREAMS)
        listed: Any = [{"PartNumber": number, **sent[number]} for number in parts.numbers]
        self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
        )

    def _unfinished(self, key: str, parts: Parts) -> tuple[str, dict[int, dict[str, Any]]]:
        """The newest upload of this key whose parts are all this file's, with its parts by number; else ``""``."""
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=key)
            begun = [each for page in pages for each in page.get("Uploads", []) if each["Key"] == key]
            for each in sorted(begun, key=lambda one: one["Initiated"], reverse=True):
                listing = self.client.get_paginator("list_parts")
                answers = listing.paginate(Bucket=self.bucket, Key=key, UploadId=each["UploadId"])
                found: list[Any] = [part for answer in answers for part in answer.get("Parts", [])]
                if found and all(in_order(parts.has, found, STREAMS)):
                    return each["UploadId"], {part["PartNumber"]: identifiers(part) for part in found}
        except ClientError as error:
            if code_of(error) not in (*MAY_NOT_LIST, "NoSuchUpload"):
                raise
        return "", {}

    def _crc(self) -> Any:
        """Has S3 check each part by its CRC-32, as boto3's transfers do, unless the AWS settings forbid it."""
        wanted = self.client.meta.config.request_checksum_calculation == "when_supported"  # type: ignore[attr-defined]
        return {"ChecksumAlgorithm": "CRC32"} if wanted else {}


def blocks_of(answer: GetObjectOutputTypeDef, buffer: bytearray) -> Iterator[memoryview]:
    """The body of an answer, block by block in ``buffer``. Raises one of ``BROKEN`` if it ends too early."""
    body: Any = answer["Body"]  # the stubs lack readinto
    view = memoryview(buffer)
    while size := body.readinto(buffer):
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
    return error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""


def is_transient(error: BaseException) -> bool:
    """Whether the next attempt may succeed: the server is overloaded or cannot be reached."""
    if isinstance(error, ClientError):
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in (429, 500, 502, 503, 504)
    return isinstance(error, (boto.ConnectionError, boto.HTTPClientError, ConnectionError, TimeoutError))
