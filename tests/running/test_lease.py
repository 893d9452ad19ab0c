"""The lease of a Job: seen, silent, and a store that is away for both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.errors import Abandoned, ConfigError, Stopped, StoreUnavailableError
from alma.running import lease
from alma.running.lease import Watch, object_of, renewed, watched
from alma.running.stopping import Stop
from alma.store import FolderStore


def test_a_lease_that_is_renewed_stops_nobody(tmp_path: Path) -> None:
    store, stop = FolderStore(tmp_path), Stop()
    with renewed(store, "job", "me", 0.6), watched(store, "job", stop):
        first = store.read(object_of("job"))
        assert not stop._asked.wait(1.5)
        assert store.read(object_of("job")) != first


def test_silence_stops_the_stage_and_tells_it_from_a_signal(tmp_path: Path) -> None:
    store, stop = FolderStore(tmp_path), Stop()
    with renewed(store, "job", "me", 0.3):
        pass

    def stage() -> None:
        with watched(store, "job", stop):
            assert stop._asked.wait(30)
            raise Stopped("as asked")

    with pytest.raises(Abandoned, match="the lease job is silent") as abandoned:
        stage()
    assert abandoned.value.exit_code == 69
    with pytest.raises(Stopped), watched(store, "job", Stop()):
        raise Stopped("by a signal")


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def looks_until_silent(store: FolderStore, monkeypatch: pytest.MonkeyPatch, most: int) -> int | None:
    clock, stop, looks = Clock(), Stop(), 0
    monkeypatch.setattr(lease, "time", clock)

    def wait(seconds: float) -> bool:
        nonlocal looks
        clock.now += seconds
        looks += 1
        return looks >= most

    watch = Watch(store, "job", stop)
    watch.run(wait)
    assert watch.silent == stop()
    return looks if watch.silent else None


def test_the_time_in_which_the_store_is_away_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    with renewed(store, "job", "me", 30.0):
        pass
    assert looks_until_silent(store, monkeypatch, 100) == 16
    read, calls = FolderStore.read, 0

    def away(self: FolderStore, name: str) -> bytes:
        nonlocal calls
        calls += 1
        if 5 < calls <= 25:
            raise StoreUnavailableError("away")
        return read(self, name)

    monkeypatch.setattr(FolderStore, "read", away)
    assert looks_until_silent(store, monkeypatch, 100) == 36


def test_a_lease_that_never_was_is_silent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks_until_silent(FolderStore(tmp_path), monkeypatch, 100) == 16


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "1e300", "-1", "0"])
def test_a_lease_that_states_no_time_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    store = FolderStore(tmp_path)
    store.write(object_of("job"), f'{{"holder": "me", "time": 1.0, "silence_seconds": {seconds}}}'.encode())
    assert looks_until_silent(store, monkeypatch, 100) == 16


@pytest.mark.parametrize("name", ["/nope/x", "a//b", "..", "a\tb", "x" * 3000, "", "-a"])
def test_a_lease_of_no_job_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    """A thread of its own watches it, whose end nobody would see."""
    with (
        pytest.raises(ConfigError, match=r"--lease .*: give the name of a Job"),
        watched(FolderStore(tmp_path), name, Stop()),
    ):
        pytest.fail("work began")
