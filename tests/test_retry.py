"""Trying again: which failures, how often, after which pauses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tenacity import RetryCallState, stop_after_attempt, wait_none

from alma.retry import Backoff, NoProgress, attempts


def failing(failures: list[Exception]) -> Callable[[], str]:
    """Raises each in turn, then answers."""

    def work() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    return work


def retried(
    work: Callable[[], str], stop: Callable[[RetryCallState], bool], sleep: Callable[[float], None] = lambda _: None
) -> str:
    for attempt in attempts(ConnectionError, stop=stop, wait=Backoff(1.0, 6.0, least=0.5), sleep=sleep):
        with attempt:
            return work()
    raise AssertionError


def test_pauses_double_up_to_the_longest_and_are_drawn() -> None:
    several = []
    for _ in range(50):
        slept: list[float] = []
        assert retried(failing([ConnectionError()] * 4), stop_after_attempt(5), slept.append) == "done"
        several.append(slept)
    for pauses, longest in zip(zip(*several, strict=True), (1.0, 2.0, 4.0, 6.0), strict=True):
        assert 0.5 * longest <= min(pauses) < 0.7 * longest
        assert 0.8 * longest < max(pauses) <= longest


def test_the_last_failure_is_raised_as_it_is() -> None:
    slept: list[float] = []
    last = ConnectionResetError("the third")
    with pytest.raises(ConnectionResetError, match="the third") as caught:
        retried(failing([ConnectionError(), ConnectionError(), last]), stop_after_attempt(3), slept.append)
    assert caught.value is last
    assert len(slept) == 2


def test_another_failure_ends_it_at_once() -> None:
    slept: list[float] = []
    with pytest.raises(KeyError):
        retried(failing([KeyError("other")]), stop_after_attempt(3), slept.append)
    assert slept == []


def test_progress_renews_the_tries() -> None:
    at, tries = 0, 0

    def work() -> str:
        nonlocal at, tries
        tries += 1
        at += moves.pop(0)
        raise ConnectionError

    moves = [0, 0, 1, 0, 0, 0]
    with pytest.raises(ConnectionError):
        retried(work, NoProgress(3, lambda: at))
    assert tries == 6, "two without progress, one with, three without"


def test_a_pause_stays_finite_after_very_many_failures() -> None:
    state = RetryCallState(attempts(ConnectionError, stop=stop_after_attempt(1), wait=wait_none()), None, (), {})
    state.attempt_number = 5000
    assert Backoff(0.05, 5.0)(state) <= 5.0


def test_a_sleep_that_raises_ends_the_waiting() -> None:
    def sleep(_: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        retried(failing([ConnectionError()] * 3), stop_after_attempt(9), sleep)
