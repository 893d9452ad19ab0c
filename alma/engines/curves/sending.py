"""Sends what comes in, in the background, to a server that may be away: nothing waits for it, and it is told once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from alma.logins import hide_logins

T = TypeVar("T")

PAUSE_SECONDS = 30.0
"""Between two tries to reach a server that did not answer."""

MOST_WAITING = 100_000
"""What waits at most; of more the oldest go, and that is told at the end."""

CLOSE_SECONDS = 30.0
"""How long the end of a training waits for what is still on its way."""


class Sending(Generic[T]):
    """Calls ``send`` with up to ``most`` of what was put, in order, in a thread of its own.

    Where it raises, the same is tried again after a pause. ``say`` hears of it the first time, with ``name``.
    """

    def __init__(self, send: Callable[[list[T]], None], most: int, say: Callable[[str], None], name: str) -> None:
        self._send, self._most, self._say, self._name = send, most, say, name
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = self._told = False
        self._num_lost = 0
        self._thread = threading.Thread(target=self._work, name="alma-curves", daemon=True)
        self._thread.start()

    def put(self, several: Sequence[T]) -> None:
        """Adds them, and returns at once."""
        with self._changed:
            self._waiting.extend(several)
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popleft()
                self._num_lost += 1
            self._changed.notify()

    def close(self) -> bool:
        """Waits a little for what is left, with one more try; whether all of it arrived."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)
        missing = len(self._waiting) + self._num_lost
        if missing:
            self._say(f"{self._name} has not got {missing:,} numbers of the training's curves; curve.jsonl has all")
        return not missing

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch, last = list(self._waiting)[: self._most], self._closing
            if not batch:
                return
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, no training ends by it
                self._tell(error)
                if last:
                    return
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, PAUSE_SECONDS)
                continue
            with self._changed:
                for _ in batch:
                    self._waiting.popleft()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            said = hide_logins(str(error)).partition("\n")[0] or type(error).__name__
            self._say(f"{self._name} does not take the training's curves, which goes on; it is tried again: {said}")
