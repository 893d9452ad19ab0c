"""Trying again what may pass: a bounded number of times, after pauses that double and are drawn at random.

    for attempt in attempts(ConnectionError, stop=stop_after_attempt(5), wait=Backoff(0.5, 60)):
        with attempt:
            return ask()

What is done outside ``with attempt`` is not tried again. The last failure is raised as it is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, retry_if_exception_type

_MOST_DOUBLINGS = 60


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait: ``first`` after the first failure, doubled after each further one up to ``longest``.

    Of that, a fraction between ``least`` and 1 is drawn, so that many who failed together do not come back together.
    """

    first_seconds: float
    longest_seconds: float
    least: float = 0.0

    def __call__(self, state: RetryCallState) -> float:
        """The pause after this failure."""
        doubled = self.first_seconds * 2.0 ** min(state.attempt_number - 1, _MOST_DOUBLINGS)
        return random.uniform(self.least, 1.0) * min(self.longest_seconds, doubled)


class NoProgress:
    """Stops after ``tries`` failures in a row through which ``reached()`` has stayed where it was."""

    def __init__(self, tries: int, reached: Callable[[], int]) -> None:
        self._tries, self._reached = tries, reached
        self._left, self._at = tries, reached()

    def __call__(self, state: RetryCallState) -> bool:
        """Whether this failure is the last."""
        del state
        at = self._reached()
        self._left = self._tries if at > self._at else self._left - 1
        self._at = at
        return self._left == 0


def attempts(
    on: type[BaseException] | tuple[type[BaseException], ...],
    *,
    stop: Callable[[RetryCallState], bool],
    wait: Callable[[RetryCallState], float],
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """The attempts at one piece of work, each to be entered by ``with``; a failure other than ``on`` is raised at once.

    ``stop`` and ``wait`` are tenacity's or of this module; ``sleep`` may raise to end the waiting.
    """
    return Retrying(retry=retry_if_exception_type(on), stop=stop, wait=wait, sleep=sleep, reraise=True)
