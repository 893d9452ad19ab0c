"""The Hub's answers to questions, which ``huggingface_hub`` would hold in memory, however much comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2

ANSWER_BYTES = 2**26
"""Of one answer: a listing's page of a thousand files has a megabyte."""


class _Bounded(httpx2.SyncByteStream):
    """A body that raises ``ValueError`` where it goes beyond ``ANSWER_BYTES``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._stream:
            size += len(piece)
            if size > ANSWER_BYTES:
                raise ValueError(f"an answer of more than {ANSWER_BYTES >> 20} MiB")
            yield piece

    def close(self) -> None:
        self._stream.close()


def bound_answers() -> None:
    """Bounds what the Hub's API answers to ``huggingface_hub`` in this process; files, which are streamed, are not."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks["response"]
    if _bound not in hooks:
        hooks.append(_bound)


def _bound(response: Any) -> None:
    if "/api/" in response.request.url.path:
        response.stream = _Bounded(response.stream)
