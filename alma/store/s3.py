"""Artifacts in object storage. boto3 is imported here and in ``transfer``, which only an ``s3://`` store imports.

Endpoint, region, credentials, retries and checksums come from the usual settings:
https://boto3.amazonaws.com/v1/documentation/api/latest/guide/configuration.html
"""

from __future__ import annotations

import errno
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions as boto
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.session import get_session
from urllib3.exceptions import HTTPError

from alma.errors import AccessError, AlmaError, ConfigError, IntegrityError, NoSpaceError, StoreUnavailableError
from alma.logins import hide_login
from alma.store import bounded
from alma.store.answers import UnreadableError, member, of_an_object
from alma.store.arrival import Agreed, DamagedError
from alma.store.files import file_errors
from alma.store.mending import prepare
from alma.store.names import check_name, is_name
from alma.store.transfer import STREAMS, ChangedError, Transfers, retry_read
from alma.store.upload import Uploads
from alma.store.waiting import waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

ATTEMPTS = 8  # of one request, about a minute with botocore's back-off; AWS_MAX_ATTEMPTS overrules it

# Codes of S3's errors: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. The answer to a HEAD has
# no body, so that botocore gives the status as the code: "404", and "400" for an expired token.
NOT_FOUND = ("NoSuchKey", "NotFound", "404")
REFUSED = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed", "400")
SKEWED = ("RequestTimeTooSkewed", "RequestExpired")
BUSY = ("SlowDown", "NoSuchUpload", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException")
FULL = ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded")
NO_LOGIN = (
    boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.UnknownCredentialError,
    boto.NoAuthTokenError, boto.TokenRetrievalError, boto.SSOError, boto.LoginError, boto.MetadataRetrievalError,
    boto.RefreshWithMFAUnsupportedError,
)  # fmt: skip
REMEDY = (
    "check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), AWS_REGION and "
    "AWS_ENDPOINT_URL; alma needs s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload, for a "
    "training's checkpoints s3:DeleteObject, and to resume unfinished uploads s3:ListBucketMultipartUploads and "
    "s3:ListMultipartUploadParts"
)


class S3Store:
    """Objects below a prefix of a bucket, on AWS or any server that speaks S3.

    Addresses are path-style where an endpoint is set, unless ``addressing_style = virtual`` is set too. A killed upload
    leaves parts in the bucket for the next attempt, which no listing shows and which cost money: give the bucket a
    lifecycle rule with AbortIncompleteMultipartUpload. Raises ``ConfigError`` for what names no bucket and for AWS
    settings that are not usable, ``AccessError`` for half a key pair.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.uri = f"s3://{bucket}" + (f"/{prefix}" if prefix else "")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket) or (prefix and not is_name(prefix)):
            raise ConfigError(
                f"store {self.uri!r} is not s3://bucket or s3://bucket/prefix; a bucket has 2 letters, digits, dots, "
                "dashes and _ or more"
            )
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        try:
            session = get_session()
            asked: int | None = session.get_config_variable("max_attempts")
            attempts = ATTEMPTS if asked is None else asked
            config = Config(
                retries={"total_max_attempts": attempts},
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=STREAMS + 4,  # for the transfers, and for small requests beside them
            )
            self.client: S3Client = boto3.Session(botocore_session=session).client("s3", config=config)
        except NO_LOGIN as error:  # half a key pair fails here, no keys at the first request
            raise AccessError(self._no_login(error)) from error
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{self.uri}: the AWS settings are not usable: {error}") from error
        self.endpoint = hide_login(self.client.meta.endpoint_url)
        prepare(self.client, f"{self.uri} at {self.endpoint}", attempts)
        streams = threading.BoundedSemaphore(STREAMS)
        self._downloads, self._uploads = Transfers(self.client, bucket, streams), Uploads(self.client, bucket, streams)
        self._bucket_seen = False

    def local(self, name: str) -> None:
        """``None``: an object of a bucket is not a file of this machine."""
        check_name(name)

    def exists(self, name: str) -> bool:
        """Whether the object exists."""
        key = self._key(name)
        try:
            with self._asking(name):
                of_an_object(self.client.head_object(Bucket=self.bucket, Key=key))
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """A small object, by one request and so of one version. Raises ``FileNotFoundError``."""
        key, agreed = self._key(name), Agreed()

        def whole(answer: GetObjectOutputTypeDef) -> bytes:
            of_an_object(answer)
            with waiting("the store"):
                data = bounded.whole(answer["Body"].iter_chunks(2**20), bounded.OBJECT_BYTES)
            agreed.check(answer, hashlib.md5(data, usedforsecurity=False).hexdigest())
            return data

        with self._asking(name):
            return retry_read(lambda: self.client.get_object(Bucket=self.bucket, Key=key), whole)

    def write(self, name: str, data: bytes) -> None:
        """Publishes a small object by one put."""
        key = self._key(name)
        with self._asking(name, sends=True):
            self._uploads.put(key, data)

    def upload(self, path: Path, name: str) -> None:
        """Publishes a file by one put or in parts; resumes the upload of an attempt that was killed."""
        key = self._key(name)
        with file_errors(path), self._asking(name, sends=True):
            self._uploads.upload(path, key)

    def download(self, name: str, path: Path) -> str:
        """Fetches one version of an object to ``path`` in parallel ranges. Raises ``FileNotFoundError``.

        Returns its SHA-256. Resumes the download of an attempt that was killed.
        """
        key = self._key(name)
        with file_errors(path), self._asking(name):
            return self._downloads.download(key, path)

    def version(self, name: str) -> tuple[str, int]:
        """Its ETag, and its size in bytes."""
        key = self._key(name)
        with self._asking(name):
            found = self.client.head_object(Bucket=self.bucket, Key=key)
            return member(found, "ETag"), member(found, "ContentLength")

    def remove(self, name: str) -> None:
        """Removes an object if it exists; a bucket with versioning keeps the old version."""
        key = self._key(name)
        with suppress(FileNotFoundError), self._asking(name):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def list(self, prefix: str) -> dict[str, int]:
        """Names below ``prefix`` and their sizes in bytes."""
        below = f"{self._key(prefix)}/" if prefix else self.prefix
        with self._asking(prefix, sends=True):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=below)
            items = [item for page in pages for item in _items(page)]
            found = {member(item, "Key")[len(self.prefix) :]: member(item, "Size") for item in items}
        return {name: found[name] for name in sorted(found) if is_name(name)}

    def _key(self, name: str) -> str:
        return self.prefix + check_name(name)

    @contextmanager
    def _asking(self, name: str, *, sends: bool = False) -> Iterator[None]:
        """Raises alma's errors for what the server or the network answered about ``name``.

        With ``sends`` the answer that there is no such object makes no sense, and is an error too.
        """
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            explained = self._answered(name, error) if isinstance(error, ClientError) else self._failed(name, error)
            if sends and isinstance(explained, FileNotFoundError):
                explained = StoreUnavailableError(f"{self.uri}/{name}: {self.endpoint} answered 404 to what was sent")
            raise explained from error
        except ChangedError as error:
            raise StoreUnavailableError(f"{self.uri}/{name}: was replaced repeatedly while it was read") from error
        except DamagedError as error:
            raise StoreUnavailableError(
                f"{self.uri}/{name}: what {self.endpoint} has or sends of it is damaged, at every attempt; check the "
                "network between"
            ) from error
        except (HTTPError, ConnectionError, TimeoutError) as error:
            raise StoreUnavailableError(f"{self.uri}/{name}: the connection to {self.endpoint} broke") from error
        except ResponseParserError as error:
            what = str(error) if isinstance(error, UnreadableError) else type(error).__name__
            raise StoreUnavailableError(
                f"{self.uri}/{name}: {self.endpoint} answered what no S3 server does ({what}); check "
                "AWS_ENDPOINT_URL, and what lies between"
            ) from error

    def _answered(self, name: str, error: ClientError) -> Exception:
        """alma's error for an error of the server. Only its code is quoted: its message may repeat what was sent."""
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        # The answer to a HEAD has no body, so a missing bucket looks like a missing object.
        if code == "NoSuchBucket" or (code in NOT_FOUND and not self._has_bucket()):
            return ConfigError(
                f"{self.uri}: there is no bucket {self.bucket!r} at {self.endpoint}; correct the store, or create it: "
                f"aws --endpoint-url {self.endpoint} s3 mb s3://{self.bucket}"
            )
        if code in NOT_FOUND:
            return FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{name}")
        kind: type[AlmaError]
        if code in FULL or status == 507:
            kind, remedy = NoSpaceError, "free some space there, or raise the quota"
        elif code in BUSY or status in (408, 409, 429, 500, 502, 503, 504):
            kind, remedy = StoreUnavailableError, "it did so at every retry"
        elif code in SKEWED:
            kind, remedy = AccessError, "set this machine's clock"
        elif code in REFUSED or status in (401, 403):
            kind, remedy = AccessError, REMEDY
        elif status in (301, 302, 307, 308):
            kind, remedy = ConfigError, "the bucket lies elsewhere: set AWS_REGION or AWS_ENDPOINT_URL_S3 to its own"
        elif 400 <= status < 500 or status == 501:
            kind, remedy = ConfigError, "it does not take what S3 does; check AWS_ENDPOINT_URL and the bucket's rules"
        else:
            kind, remedy = StoreUnavailableError, "which no S3 server does; check AWS_ENDPOINT_URL, what lies between"
        return kind(f"{self.uri}/{name}: {self.endpoint} answered {status} {code}; {remedy}")

    def _failed(self, name: str, error: BotoCoreError) -> Exception:
        """alma's error for a request without an answer."""
        if isinstance(error, NO_LOGIN):
            return AccessError(self._no_login(error))
        if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConfigError(f"{self.uri}: the certificate of {self.endpoint} is not trusted; set AWS_CA_BUNDLE")
        if isinstance(error, (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)):
            return StoreUnavailableError(
                f"{self.uri}: {self.endpoint} does not answer ({type(error).__name__}) after every retry; "
                "check AWS_ENDPOINT_URL and the network"
            )
        if isinstance(error, boto.PaginationError):
            return StoreUnavailableError(
                f"{self.uri}/{name}: {self.endpoint} answered what no S3 server does (a listing without end); check "
                "AWS_ENDPOINT_URL, and what lies between"
            )
        if isinstance(error, boto.FlexibleChecksumError):
            return IntegrityError(
                f"{self.uri}/{name}: differs from the checksum that {self.endpoint} states, at every attempt; check "
                "the network between, else remove the object and run again"
            )
        return ConfigError(f"{self.uri}/{name}: the AWS settings are not usable at {self.endpoint}: {error}")

    def _no_login(self, error: Exception) -> str:
        return f"{self.uri}: no usable credentials ({type(error).__name__}); {REMEDY}"

    def _has_bucket(self) -> bool:
        """Whether the bucket exists; true where these credentials may not look at it."""
        try:
            self._bucket_seen = self._bucket_seen or bool(self.client.head_bucket(Bucket=self.bucket))
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"] != 404
        except BotoCoreError as error:
            raise self._failed("", error) from error
        except ResponseParserError:  # no answer to this question either
            return True
        return True


def _items(page: Mapping[str, Any]) -> list[Any]:
    """Of a page of a listing; any other document would be read as a page without objects."""
    member(page, "IsTruncated")
    return list(page.get("Contents", []))
