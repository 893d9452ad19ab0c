"""Answers of several models, a token of each at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from alma.engines import Completion

NOTHING = Completion(text="", num_tokens=0, ended=False)


def together(streams: Sequence[Iterator[Completion]], stop: Callable[[], bool]) -> Iterator[list[Completion]]:
    """What each has said so far, after a token more of every one that still speaks; until all are over, or ``stop``."""
    latest = [NOTHING] * len(streams)
    speaking = list(range(len(streams)))
    while speaking and not stop():
        for place in list(speaking):
            said = next(streams[place], None)
            if said is None:
                speaking.remove(place)
            else:
                latest[place] = said
        yield list(latest)
