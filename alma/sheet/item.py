"""What is rated: ``Item``."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from alma.prompts.conversation import Message, conversation

ROW_ID = "row_id"
"""The column that names a row to ``alma sheet read``."""


class Item(NamedTuple):
    """A prompt, what was said before it, and a response.

    ``source`` and ``checkpoint`` say where they came from, and no rater sees them.
    """

    prompt: str
    response: str
    source: str
    checkpoint: str | None = None
    earlier: tuple[Message, ...] = ()

    @property
    def asked(self) -> str:
        """What raters read as the prompt: all that was said before the response."""
        return conversation(self.prompt, self.earlier)

    @property
    def id(self) -> str:
        """A hash of both texts. It begins with a letter, so that no spreadsheet takes it for a number."""
        text = f"{self.asked}\x1f{self.response}".encode("utf-8", "surrogatepass")
        return f"r-{hashlib.blake2b(text, digest_size=8).hexdigest()}"
