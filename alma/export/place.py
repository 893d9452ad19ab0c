"""What a person calls a model: an artifact's name, or any path or address into it."""

from __future__ import annotations

import re

from alma.artifact import KEY_CHARS, Ref
from alma.errors import ConfigError

_INSIDE = re.compile(rf"(?P<store>.+)/(?P<stage>[a-z_]+)/(?P<key>[0-9a-f]{{{KEY_CHARS}}})(?:/.*)?")


def place(text: str, store_uri: str) -> tuple[str, Ref]:
    """The store and the artifact: ``finetune/KEY`` in ``store_uri``, or what a path such as ``alma run`` prints names.

    Raises ``ConfigError``.
    """
    inside = _INSIDE.fullmatch(text)
    if inside:
        return inside["store"], Ref(inside["stage"], inside["key"])
    try:
        return store_uri, Ref.parse(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} names no model: give what alma run prints for it (a path with finetune/ and 20 hex digits), or "
            "finetune/KEY with --store"
        ) from error
