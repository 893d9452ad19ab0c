"""Whether what was sent to S3 arrived as it was sent, and whether what comes is what lies there.

Most servers answer with the MD5 of what they received as the ETag. One that encrypts with a key of its own (SSE-KMS,
SSE-C) does not, and then states the CRC-32 that it has checked. Of any other answer nothing follows: what was sent is
read back. Some servers (rclone) keep a client's CRC-32 unchecked, which is therefore not believed beside a wrong MD5.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class DamagedError(Exception):
    """What arrived, here or there, is not what was sent."""


class Sums(NamedTuple):
    """What tells of damage, not of malice: MD5 in hex, CRC-32 in base64."""

    md5: str
    crc32: str

    @property
    def content_md5(self) -> str:
        """The header by which a server refuses what arrives damaged, before anybody sees it."""
        return base64.b64encode(bytes.fromhex(self.md5)).decode()


def sums_of(blocks: Iterable[bytes]) -> Sums:
    """The sums of bytes that come block by block."""
    md5, crc = hashlib.md5(usedforsecurity=False), 0
    for block in blocks:
        md5.update(block)
        crc = zlib.crc32(block, crc)
    return Sums(md5.hexdigest(), base64.b64encode(crc.to_bytes(4, "big")).decode())


def md5_in(answer: Mapping[str, Any]) -> str | None:
    """The MD5 that an ETag may be; ``None`` where it is of another form: of an object in parts, say."""
    etag = str(answer.get("ETag", "")).strip('"')
    return etag if re.fullmatch(r"[0-9a-f]{32}", etag) else None


def arrived(answer: Mapping[str, Any], sums: Sums) -> bool:
    """Whether the answer to an upload shows that these bytes arrived; ``False`` if they did not, or nobody knows."""
    if md5_in(answer) == sums.md5:
        return True
    return _is_sealed(answer) and answer.get("ChecksumCRC32") == sums.crc32


class Agreed:
    """Checks what comes, in one attempt after another: it has the ETag's MD5, or came twice alike.

    An ETag need not be an MD5, so that one that differs shows no damage by itself.
    """

    def __init__(self) -> None:
        self._before: str | None = None

    def check(self, answer: Mapping[str, Any], md5: str) -> None:
        """Raises ``DamagedError`` where the bytes have to be read again."""
        if not _is_sealed(answer) and md5_in(answer) not in (None, md5) and md5 != self._before:
            self._before = md5
            raise DamagedError


def _is_sealed(answer: Mapping[str, Any]) -> bool:
    """Whether the object is encrypted with a key of its own, so that its ETag is no MD5."""
    return str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer
