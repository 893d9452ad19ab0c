"""Names of objects: what a folder and S3 both hold as it is."""

from __future__ import annotations

import re
import unicodedata

TEMPORARY = ".alma-tmp-"  # how the name of an unfinished file begins; no object may be named so
SEGMENT_BYTES = 255  # NAME_MAX of the usual file systems
NAME_BYTES = 500  # S3 takes keys of 1,024 bytes, of which the store's prefix may have as many


def check_name(name: str) -> str:
    """``name`` itself if it is a relative POSIX path that a folder and S3 both hold as it is, else ``ValueError``."""
    segments = name.split("/")
    if (
        any(segment in ("", ".", "..") or segment.startswith(TEMPORARY) for segment in segments)
        or any(character == "\\" or unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or len(name.encode()) > NAME_BYTES
        or any(len(segment.encode()) > SEGMENT_BYTES for segment in segments)
    ):
        raise ValueError(f"{name!r} is no object name: relative, '/' between, no '..', no control characters, not long")
    return name


def is_name(name: str) -> bool:
    """Whether ``check_name`` takes it."""
    try:
        return bool(check_name(name))
    except ValueError:
        return False


def hide_login(uri: str) -> str:
    """``uri`` fit for a message: nothing before an ``@`` (keys hold slashes, so the last one) is shown."""
    return re.sub(r"(:/+).*@", r"\1…@", uri)
