"""Files and small objects to S3: by one put or in parallel parts, resumed after a kill, and looked at on arrival.

What arrives damaged is sent again. Where neither the server checks nor its answer tells, the object is read back.
"""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore import exceptions as boto
from botocore.exceptions import ClientError
from tenacity import stop_after_attempt

from alma.parallel import in_order
from alma.retry import attempts
from alma.store.answers import member
from alma.store.arrival import DamagedError, Sums, arrived, sums_of
from alma.store.multipart import PART_BYTES, Parts, identifiers
from alma.store.ranges import BLOCK_BYTES
from alma.store.transfer import BACKOFF, STREAMS, blocks_of, code_of, is_transient, retry_read

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SENT = 4
"""Times that one object is sent when it arrives damaged."""

REFUSED_AS_DAMAGED = ("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")
MAY_NOT_LIST = ("AccessDenied", "NotImplemented", "MethodNotAllowed", "501", "405")


class Uploads:
    """Moves files of this machine into a bucket, by at most as many connections as ``streams`` lets through.

    May be shared by threads. Raises what botocore raises, and ``DamagedError``; ``s3`` explains them.
    """

    def __init__(self, client: S3Client, bucket: str, streams: threading.BoundedSemaphore) -> None:
        self.client = client
        self.bucket = bucket
        self._streams = streams
        self._tells = True

    def put(self, key: str, data: bytes) -> None:
        """Publishes a small object."""
        self._put(key, io.BytesIO(data))

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
                    self._put(key, file)
                return
        parts = Parts(path, size)
        for attempt in itertools.count(1):
            upload, known = self._unfinished(key, parts) if attempt == 1 else ("", {})
            if not upload:
                begun = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **self._crc())
                upload = member(begun, "UploadId")
            try:
                if self._parts(key, upload, parts, known):
                    self._compare(key, parts)
            except BaseException as error:
                damaged = isinstance(error, DamagedError) or code_of(error) in REFUSED_AS_DAMAGED
                # Another process may have resumed this upload and completed or aborted it.
                gone = code_of(error) in ("NoSuchUpload", "InvalidPart")
                if not gone and not is_transient(error):
                    with suppress(Exception):
                        self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
                if (gone or damaged) and attempt < SENT:
                    # A server whose ETags are no MD5 looks as if all arrived damaged: then the whole is compared.
                    self._tells = self._tells and not (damaged and attempt == SENT - 1)
                    continue
                raise
            return

    def _put(self, key: str, body: BinaryIO) -> None:
        sums = sums_of(_blocks(body))
        for attempt in attempts(DamagedError, stop=stop_after_attempt(SENT), wait=BACKOFF):
            with attempt:
                body.seek(0)
                try:
                    answer: Any = self.client.put_object(
                        Bucket=self.bucket, Key=key, Body=body, ContentMD5=sums.content_md5
                    )
                except ClientError as error:
                    if code_of(error) in REFUSED_AS_DAMAGED:
                        raise DamagedError from error
                    raise
                if not arrived(answer, sums) and self._read_back(key) != sums:
                    raise DamagedError

    def _parts(self, key: str, upload: str, parts: Parts, known: dict[int, dict[str, Any]]) -> bool:
        """Sends what is missing and completes the upload; whether it is still unknown if all arrived undamaged."""
        missing = [number for number in parts.numbers if number not in known]
        order, order_lock, sent = iter(missing), threading.Lock(), dict(known)
        unsure = threading.Event()

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
            with closing(parts.open(number)) as part:
                if not arrived(answer, sums_of(_blocks(part))):
                    unsure.set()
                    if self._tells:
                        raise DamagedError
            sent[number] = identifiers(answer)

        in_order(send, missing, STREAMS)
        listed: Any = [{"PartNumber": number, **sent[number]} for number in parts.numbers]
        self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": listed}
        )
        return unsure.is_set()

    def _compare(self, key: str, parts: Parts) -> None:
        with parts.path.open("rb") as file:
            if self._read_back(key) != sums_of(_blocks(file)):
                raise DamagedError

    def _read_back(self, key: str) -> Sums:
        buffer = bytearray(BLOCK_BYTES)
        try:
            return retry_read(
                lambda: self.client.get_object(Bucket=self.bucket, Key=key),
                lambda answer: sums_of(blocks_of(answer, buffer)),  # type: ignore[arg-type]
            )
        except boto.FlexibleChecksumError as error:  # the CRC-32 that we stated is not that of what lies there
            raise DamagedError from error

    def _unfinished(self, key: str, parts: Parts) -> tuple[str, dict[int, dict[str, Any]]]:
        """The newest upload of this key whose parts are all this file's, with its parts by number; else ``""``."""
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=key)
            begun = [each for page in pages for each in page.get("Uploads", []) if each.get("Key") == key]
            for each in sorted(begun, key=lambda one: member(one, "Initiated"), reverse=True):
                listing = self.client.get_paginator("list_parts")
                answers = listing.paginate(Bucket=self.bucket, Key=key, UploadId=member(each, "UploadId"))
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


def _blocks(body: Any) -> Iterator[bytes]:
    while block := body.read(BLOCK_BYTES):
        yield block
