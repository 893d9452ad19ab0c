"""The hash of a content in a name, so that what one attempt publishes replaces nothing of another's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

HASH_CHARS = 16
"""Hex digits of the content's hash in a name: 64 bits, enough to tell the few attempts at one part apart."""


def folder_name(contents: Sequence[tuple[str, str]]) -> str:
    """The folder of an artifact that these files lie in: the name and SHA-256 of each, in the order of the manifest."""
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
    return f"files/{digest[:HASH_CHARS]}"
