"""Names of objects: those that a folder and S3 both take unchanged."""

from __future__ import annotations

import unicodedata

TEMPORARY = ".alma-tmp-"  # prefix of the names of unfinished files; no object may have it
SEGMENT_BYTES = 255  # NAME_MAX of the usual file systems
NAME_BYTES = 500  # S3 takes keys of 1,024 bytes; the store's prefix may take as many again


def check_name(name: str) -> str:
    """Returns ``name`` if it is a relative POSIX path that a folder and S3 both take unchanged, else ``ValueError``."""
    segments = name.split("/")
    if (
        any(segment in ("", ".", "..") or segment.startswith(TEMPORARY) for segment in segments)
        or any(character == "\\" or unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or len(name.encode()) > NAME_BYTES
        or any(len(segment.encode()) > SEGMENT_BYTES for segment in segments)
    ):
        raise ValueError(f"{name!r} is not an object name: a short relative path, no '..', no control characters")
    return name


def is_name(name: str) -> bool:
    """Whether ``check_name`` takes it."""
    try:
        return bool(check_name(name))
    except ValueError:
        return False
