"""Text of several lines that nobody vouches for, so written that nothing in it hides, mirrors or commands."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and newline, and the marks that reorder the text around them.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """``text`` with every control and direction mark written out: fit for a page and for a terminal.

    Escaping for HTML is left to the page's template.
    """
    return _INVISIBLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)
