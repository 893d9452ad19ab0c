"""When two texts are one: what they are once case, spaces and Unicode forms are set aside."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_MOST_MARKS, _JOINER = 30, "\u034f"
"""Of combining characters in a row, and what stands between those and more: Unicode's stream-safe text format
(https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format)."""


def compatible(text: str) -> str:
    """Unicode's compatibility form NFKC.

    To bring combining characters into their order takes time that grows with the square of how many stand in a row, and
    no signal is heard meanwhile: of more than any language has, a joiner that is not seen parts each 30.
    """
    if not text.isascii():
        text = _too_many_marks().sub(lambda found: f"{found[0]}{_JOINER}", text)
    return unicodedata.normalize("NFKC", text)


@cache
def _too_many_marks() -> re.Pattern[str]:
    marks = "".join(char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(char))
    one = f"[{re.escape(marks)}]"
    return re.compile(f"{one}{{{_MOST_MARKS}}}(?={one})")


def normalise(text: str) -> str:
    """Unicode compatibility form, case folded, white space joined: prompts with one form are exact duplicates."""
    return " ".join(compatible(text).casefold().split())


def exact_match(response: str, reference: str | None, *, ended: bool) -> bool | None:
    """Whether the response is the reference, case and white space aside, and ended; ``None`` without a reference."""
    return None if reference is None else ended and normalise(response) == normalise(reference)
