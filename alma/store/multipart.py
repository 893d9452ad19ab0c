"""A file as the parts of a multipart upload to S3, and which parts the server has already."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from s3transfer.utils import ReadFileChunk

from alma.store.answers import member
from alma.store.arrival import sums_of
from alma.store.ranges import BLOCK_BYTES

PART_BYTES = 16 * 2**20
MAX_PARTS = 10_000  # S3's limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")


class Parts:
    """A file as the parts of a multipart upload, numbered from 1."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.bytes = max(PART_BYTES, -(-size // MAX_PARTS))
        self.numbers = range(1, -(-size // self.bytes) + 1)

    def open(self, number: int) -> ReadFileChunk:
        """One part of the file, to be read."""
        return ReadFileChunk.from_filename(str(self.path), (number - 1) * self.bytes, self.bytes)

    def has(self, part: dict[str, Any]) -> bool:
        """Whether a part that S3 lists is of this file, by its MD5 (the ETag) or CRC-32; without either it is not."""
        number = member(part, "PartNumber")
        if number not in self.numbers:
            return False
        with closing(self.open(number)) as body:
            if len(body) != member(part, "Size"):
                return False
            sums = sums_of(iter(lambda: body.read(BLOCK_BYTES), b""))
        return str(member(part, "ETag")).strip('"') == sums.md5 or part.get("ChecksumCRC32") == sums.crc32


def identifiers(answer: Any) -> dict[str, Any]:
    """What S3 said of a part that it received, and wants to hear again when the upload is completed."""
    return {name: answer[name] for name in ("ETag", *CHECKSUMS) if name in answer}
