"""When two texts are one: what they are once case, spaces and Unicode forms are set aside."""

from __future__ import annotations

import unicodedata


def normalise(text: str) -> str:
    """Unicode compatibility form, case folded, white space joined: prompts with one form are exact duplicates."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def exact_match(response: str, reference: str | None, *, ended: bool) -> bool | None:
    """Whether the response is the reference, case and white space aside, and ended; ``None`` without a reference."""
    return None if reference is None else ended and normalise(response) == normalise(reference)
