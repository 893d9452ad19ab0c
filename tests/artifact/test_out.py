"""Several attempts at one artifact at once, on devices that do not compute the same bytes: whoever wins, it is whole.

Attempts run in threads that take turns at the store, operation by operation, in an order that hypothesis chooses; some
are killed between two operations.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.artifact import Artifact, Manifest, Model, Rows, find_manifest, row_id
from alma.artifact.checkpoints import Checkpoints
from alma.artifact.out import Out
from alma.artifact.shard import SEAL, Shard, ShardDone
from alma.errors import AccessError, TransientError
from alma.running import stage as stage_run
from alma.store import Store, open_store
from tests.builders.sealed import named, seal

REF = named("respond", "rows")
MODEL = named("finetune", "model")
NUM_ROWS, PART_ROWS = 5, 2


class KilledError(Exception):
    """As SIGKILL: nothing of the attempt runs after it."""


class Turns:
    """Lets threads take turns, in the order of ``schedule``; threads that have ended are passed over."""

    def __init__(self, schedule: list[int], num: int) -> None:
        self._schedule = itertools.chain(schedule, itertools.cycle(range(num)))
        self._alive = set(range(num))
        self._changed = threading.Condition()
        self._pass_on()

    def take(self, number: int, operation: Callable[[], Any]) -> Any:
        with self._changed:
            assert self._changed.wait_for(lambda: self._next == number, 60)
            try:
                return operation()
            finally:
                self._pass_on()
                self._changed.notify_all()

    def leave(self, number: int) -> None:
        with self._changed:
            self._alive.discard(number)
            if self._alive and self._next == number:
                self._pass_on()
            self._changed.notify_all()

    def _pass_on(self) -> None:
        self._next = next(each for each in self._schedule if each in self._alive)


class Shared:
    """A store as one attempt sees it: every operation is a turn; at number ``lives`` the attempt is killed."""

    def __init__(self, store: Store, turns: Turns, number: int, lives: int, manifests: list[bytes]) -> None:
        self._store, self._turns, self._number, self._left = store, turns, number, lives
        self._manifests = manifests
        self.uri = store.uri

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def called(*given: Any) -> Any:
            def operation() -> Any:
                self._left -= 1
                if self._left < 0:
                    raise KilledError
                done = method(*given)
                if name == "write" and given[0].endswith("/manifest.json"):
                    self._manifests.append(given[1])
                return done

            return method(*given) if name == "local" else self._turns.take(self._number, operation)

        return called


def attempt(store: Any, scratch: Path, who: str, shard: Shard | None = None) -> Manifest | None:
    """As a stage: parts whose content is this attempt's, then metrics over the whole, then the seal."""
    out = Out(store, REF, scratch, shard=shard)
    try:
        for part, _ in out.each(NUM_ROWS, PART_ROWS, "rows"):
            rows = [
                {"id": row_id(REF, i), "candidate_id": who, "prompt": f"{who} {i}"}
                for i in range(part.start, part.stop)
            ]
            out.publish(part, "prompt", rows, {f"num_of_{who}": len(rows)})
    except ShardDone:
        return None
    read = out.read_back(["candidate_id"])
    metrics = {f"read_of_{name}": sum(row["candidate_id"] == name for row in read) for name in "abc"}
    counts = out.counts()
    metrics |= {f"counted_of_{name}": counts.get(f"num_of_{name}", 0) for name in "abc"}
    return seal(out, "rows", metrics)


def together(
    store: Store, schedule: list[int], lives: list[int], works: list[Callable[[Any, Path], Any]]
) -> list[bytes]:
    """Runs the works at once; returns every manifest that was written, first to last."""
    turns, manifests, failures = Turns(schedule, len(works)), list[bytes](), list[BaseException]()

    def main(number: int, scratch: Path) -> None:
        try:
            works[number](Shared(store, turns, number, lives[number], manifests), scratch)
        except (KilledError, TransientError):  # a seal that came before the parts
            pass
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
        finally:
            turns.leave(number)

    with tempfile.TemporaryDirectory() as folder:
        threads = [
            threading.Thread(target=main, args=(number, Path(folder, str(number)))) for number in range(len(works))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    return manifests


def check_rows(store: Store, manifest: Manifest) -> None:
    rows = Rows(store, manifest)
    table = rows.table().to_pylist()  # every file is checked against the manifest
    assert [row["id"] for row in table] == [row_id(REF, i) for i in range(NUM_ROWS)]
    assert [row["prompt"] for row in table] == [f"{row['candidate_id']} {i}" for i, row in enumerate(table)]
    for who in "abc":
        num = sum(row["candidate_id"] == who for row in table)
        assert manifest.metrics[f"read_of_{who}"] == num
        assert manifest.metrics[f"counted_of_{who}"] == num
        assert manifest.metrics.get(f"num_of_{who}", 0) == num


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))


runs = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 16)), max_size=12)
schedules = runs.map(lambda pairs: [who for who, num in pairs for _ in range(num)])
lives = st.lists(st.integers(0, 40) | st.just(10**6), min_size=2, max_size=2)
kinds = st.sampled_from([None, Shard(0, 2), Shard(1, 2), Shard(0, 1), Shard(1, 3), SEAL])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(schedule=schedules, lives=lives, one=kinds, other=kinds)
def test_two_attempts_at_once_leave_a_whole_artifact(
    schedule: list[int], lives: list[int], one: Shard | None, other: Shard | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder, "store")))
        works = [
            lambda seen, scratch: attempt(seen, scratch, "a", one),
            lambda seen, scratch: attempt(seen, scratch, "b", other),
        ]
        manifests = together(store, schedule, lives, works)
        before = {name: store.read(name) for name in store.list(f"{REF}/parts") if name.endswith(".json")}
        attempt(store, Path(folder, "last"), "c")
        last = find_manifest(store, REF)
        assert last is not None
        for written in [*map(Manifest.model_validate_json, manifests), last]:  # a reader may have any of them
            check_rows(store, written)
        stated = {name: store.read(name) for name in store.list(f"{REF}/parts") if name.endswith(".json")}
        assert stated.items() >= before.items()  # whatever the shards were, no finished part is done again


def test_one_attempt_in_the_middle_of_another_at_any_operation(tmp_path: Path) -> None:
    """The second has seen that all parts are missing, and writes its own while the first counts, reads or seals."""
    works = [lambda seen, scratch: attempt(seen, scratch, "a"), lambda seen, scratch: attempt(seen, scratch, "b")]
    for operation in range(28):
        store = open_store(str(tmp_path / str(operation)))
        manifests = together(store, [1] + [0] * operation + [1] * 5, [10**6] * 2, works)
        for written in manifests:
            check_rows(store, Manifest.model_validate_json(written))
        assert manifests


@settings(max_examples=30, deadline=None)
@given(schedule=schedules, lives=lives)
def test_two_trainings_at_once_leave_a_whole_model(schedule: list[int], lives: list[int]) -> None:
    def train(who: str) -> Callable[[Any, Path], Any]:
        def work(store: Any, scratch: Path) -> None:
            out = Out(store, MODEL, scratch)
            (out.folder / "deep").mkdir()
            (out.folder / "deep" / "config.json").write_text(who)
            (out.folder / "model.safetensors").write_text(who * 9)
            seal(out, "model", {})

        return work

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(str(Path(folder, "store")))
        manifests = together(store, schedule, lives, [train("a"), train("b")])
        train("c")(store, Path(folder, "last"))
        for data in manifests:
            root = Model(store, Manifest.model_validate_json(data)).folder
            who = (root / "deep" / "config.json").read_text()
            assert (root / "model.safetensors").read_text() == who * 9


def test_an_attempt_that_comes_second_changes_nothing(store_uri: str, tmp_path: Path, no_cache: None) -> None:
    store = open_store(store_uri)
    slow = Out(store, REF, tmp_path / "slow")
    (first, *_), _ = slow.parts(NUM_ROWS, PART_ROWS)
    attempt(store, tmp_path / "fast", "a")
    sealed = store.read(f"{REF}/manifest.json")
    rows = [{"id": row_id(REF, i), "candidate_id": "b", "prompt": f"b {i}"} for i in range(PART_ROWS)]
    slow.publish(first, "prompt", rows, {"num_of_b": 2})
    assert seal(slow, "rows", {}).to_bytes() == sealed
    assert store.read(f"{REF}/manifest.json") == sealed
    artifact = Artifact.open(store, REF)
    assert isinstance(artifact, Rows)
    check_rows(store, artifact.manifest)
    left = [name for name in store.list(f"{REF}/parts") if name.endswith(".parquet")]
    assert len(left) == len(artifact.manifest.files) + 1  # the loser's file lies there, and is read by nobody


def test_a_statement_of_another_form_is_none(store_uri: str, tmp_path: Path, no_cache: None) -> None:
    store = open_store(store_uri)
    attempt(store, tmp_path / "shard", "a", Shard(0, 3))
    store.write(f"{REF}/parts/00001.json", b'{"sha256": "00", "size": 1, "rows": 2, "counts": {}, "seconds": 1.0}')
    store.write(f"{REF}/parts/00002.json", b"\xff")
    pending, done = Out(store, REF, tmp_path).parts(NUM_ROWS, PART_ROWS)
    assert ([part.number for part in pending], done) == ([1, 2], PART_ROWS)


def cut(store: Store, scratch: Path, part_rows: int, num_parts: int | None = None) -> Manifest | None:
    """An attempt whose parts have ``part_rows`` rows, killed after ``num_parts`` of them."""
    out = Out(store, REF, scratch)
    for part, _ in out.each(11, part_rows, "rows"):
        if part.number == num_parts:
            return None
        rows = [{"id": row_id(REF, i), "candidate_id": "c", "prompt": f"{i}"} for i in range(part.start, part.stop)]
        out.publish(part, "prompt", rows, {"num_seen": len(rows)})
    return seal(out, "rows", {"num_read": len(out.read_back(["prompt"]))})


@pytest.mark.parametrize(("before", "after"), [(3, 7), (7, 3), (4, 3), (8, 3), (2, 11)])
def test_an_attempt_may_cut_the_rows_otherwise(
    store_uri: str, tmp_path: Path, no_cache: None, before: int, after: int
) -> None:
    """Second parts of 8 and of 3 rows each have three rows here, and not the same."""
    store = open_store(store_uri)
    cut(store, tmp_path / "before", before, num_parts=max(1, -(-11 // before) - 1))
    manifest = cut(store, tmp_path / "after", after)
    assert manifest is not None
    rows = Artifact.open(store, REF)
    assert isinstance(rows, Rows)
    assert rows.table(["prompt"])["prompt"].to_pylist() == [f"{i}" for i in range(11)]
    assert manifest.metrics == {"num_seen": 11, "num_read": 11}


def test_a_part_that_was_replaced_by_other_rows_is_not_sealed(store_uri: str, tmp_path: Path, no_cache: None) -> None:
    store = open_store(store_uri)
    slow = Out(store, REF, tmp_path / "slow")
    parts, _ = slow.parts(NUM_ROWS, PART_ROWS)
    attempt(store, tmp_path / "shard", "a", Shard(0, 1))
    cut(store, tmp_path / "other", PART_ROWS + 1, num_parts=1)
    with pytest.raises(TransientError, match=r"parts/00000 of .* parts were replaced .* another part_rows"):
        seal(slow, "rows", {})
    assert parts


@pytest.fixture
def sealed_beside_checkpoints(store_uri: str, tmp_path: Path) -> Iterator[tuple[Store, Manifest]]:
    """What a sealing leaves that is killed after the manifest."""
    store = open_store(store_uri)
    out = Out(store, MODEL, tmp_path / "scratch")
    (out.folder / "config.json").write_text("{}")
    manifest = seal(out, "model", {})
    for name in ("00000008/model.safetensors", "00000008.json", "00000009/half"):
        store.write(f"{MODEL}/checkpoints/{name}", b"1")
    return store, manifest


def test_checkpoints_beside_a_sealed_model_are_cleared(sealed_beside_checkpoints: tuple[Store, Manifest]) -> None:
    store, manifest = sealed_beside_checkpoints
    stage_run.clear_leftovers(store, manifest)
    assert not store.list(f"{MODEL}/checkpoints")
    assert [name for name in store.list(str(MODEL)) if "/files/" in name]


def test_checkpoints_that_cannot_be_removed_are_said(
    sealed_beside_checkpoints: tuple[Store, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Checkpoints) -> None:
        raise AccessError("removing is denied")

    monkeypatch.setattr(Checkpoints, "clear", refuse)
    store, manifest = sealed_beside_checkpoints
    told: list[Any] = []
    stage_run.clear_leftovers(store, manifest, told.append)
    [event] = told
    assert "could not be removed from the store: removing is denied" in event["message"]
