"""Parts that follow one another through an engine: order, stops, shards, publication in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.artifact import Artifact
from alma.artifact.out import Out, Part
from alma.artifact.shard import Shard, ShardDone
from alma.engines import Answered, OnTokens
from alma.engines.feed import PartRequests, feed
from alma.errors import StageError, Stopped
from alma.store import FolderStore, open_store
from tests.builders.sealed import named, seal

Asked = tuple[int, Any]


class Engine:
    """Answers ``width`` requests side by side, each after as many steps as it says. It is the engine of every turn."""

    def __init__(self, width: int, steps: Callable[[int], int] = lambda row: 1 + row % 7) -> None:
        self.width, self.steps = width, steps
        self.taken: list[Asked] = []
        self.answered: list[Asked] = []

    def answer(self, requests: Iterable[Any], *, on_tokens: OnTokens) -> Iterator[Answered[str]]:
        pending, running, number = iter(requests), dict[int, tuple[Asked, int]](), 0
        while True:
            while len(running) < self.width and (taken := next(pending, None)) is not None:
                assert all(turn == taken[0] for (turn, _), _ in running.values()), "a turn begins before the last ended"
                self.taken.append(taken)
                running[number] = taken, self.steps(taken[1][0])
                number += 1
            if not running:
                return
            on_tokens(len(running))
            running = {place: (each, left - 1) for place, (each, left) in running.items()}
            for place in [place for place, (_, left) in running.items() if left == 0]:
                each, _ = running.pop(place)
                self.answered.append(each)
                yield Answered(place, f"{each}", len(each[1]), 10)


def embedding(out: Out, row: int, text: str) -> dict[str, Any]:
    return {"id": out.row_id(row), "prompt_id": text, "vector": [float(row)]}


def run(out: Out, engine: Any, num_rows: int, part_rows: int, turns: int = 1, parts_per_turn: int = 1) -> None:
    def requests(part: Part) -> PartRequests:
        """Two requests of a part in every turn, where it has two rows."""
        rows = range(part.start, part.stop)
        halves = [half for half in (rows[::2], rows[1::2]) if half]
        asked = [(turn, half) for turn in range(turns) for half in halves]

        def finished(answers: list[str], num_tokens: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
            assert answers == [f"{each}" for each in asked]
            return [embedding(out, row, f"p{row}") for row in rows], {"num_tokens": num_tokens}

        def make(request: Asked) -> Callable[[Any], Any]:
            return lambda _: request

        return PartRequests([(each[0], make(each)) for each in asked], finished)

    feed(out, num_rows, part_rows, "rows", "embedding", requests, lambda _: engine, parts_per_turn=parts_per_turn)


def make(folder: Path, **settings: Any) -> Out:
    return Out(open_store(str(folder / "store")), named("embed", "rows"), folder / "scratch", **settings)


def rows(out: Out, num_rows: int, part_rows: int) -> list[str]:
    out.parts(num_rows, part_rows)  # another attempt: it looks at what is there before it seals
    seal(out, "rows")
    artifact: Any = Artifact.open(out.store, out.ref)
    ids = artifact.table(["id"])["id"].to_pylist()
    assert ids == [out.row_id(row) for row in range(len(ids))]
    texts: list[str] = artifact.table(["prompt_id"])["prompt_id"].to_pylist()
    return texts


@settings(max_examples=60, deadline=None)
@given(
    num_rows=st.integers(1, 60),
    part_rows=st.integers(1, 20),
    turns=st.integers(1, 3),
    parts_per_turn=st.integers(1, 5),
    width=st.integers(1, 12),
)
def test_every_row_is_published_once_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, part_rows: int, turns: int, parts_per_turn: int, width: int
) -> None:
    out = make(tmp_path_factory.mktemp("feed"))
    engine = Engine(width)
    run(out, engine, num_rows, part_rows, turns, parts_per_turn)
    assert rows(out, num_rows, part_rows) == [f"p{row}" for row in range(num_rows)]
    assert sorted(map(str, engine.answered)) == sorted(map(str, engine.taken))


def test_the_next_part_is_asked_for_before_the_last_is_whole(tmp_path: Path) -> None:
    straggler = Engine(3, steps=lambda row: 50 if row == 0 else 1)
    run(make(tmp_path), straggler, 12, 2)
    assert straggler.answered[-1] == (0, range(0, 2, 2))
    assert len(straggler.answered) == 12


def test_a_turn_is_kept_for_several_parts_and_the_next_group_begins_where_the_last_ended(tmp_path: Path) -> None:
    engine = Engine(100)
    run(make(tmp_path), engine, 8, 1, turns=3, parts_per_turn=2)
    turns = [turn for turn, _ in engine.taken]
    assert turns == [0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0]


def test_a_stop_ends_it_at_once_and_leaves_what_was_whole(tmp_path: Path) -> None:
    stop = threading.Event()
    out = make(tmp_path, stopping=stop.is_set)
    engine = Engine(2, steps=lambda row: 10**9 if row >= 6 else 1)

    class Stopping(Engine):
        def answer(self, requests: Iterable[Any], *, on_tokens: OnTokens) -> Iterator[Answered[str]]:
            for answered in super().answer(requests, on_tokens=on_tokens):
                yield answered
                if len(self.answered) == 6:
                    stop.set()

    engine = Stopping(2, engine.steps)
    with pytest.raises(Stopped):
        run(out, engine, 20, 2)
    left, done = make(tmp_path).parts(20, 2)
    assert done == 6
    assert [part.number for part in left] == [3, 4, 5, 6, 7, 8, 9]
    again = Engine(2)
    run(make(tmp_path), again, 20, 2)
    assert sorted(row for _, half in again.taken for row in half) == [*range(6, 20)]
    assert rows(make(tmp_path), 20, 2) == [f"p{row}" for row in range(20)]


def test_an_engine_that_was_stopped_with_us_is_a_stop(tmp_path: Path) -> None:
    class Dead(Engine):
        def answer(self, requests: Iterable[Any], *, on_tokens: OnTokens) -> Iterator[Answered[str]]:
            yield Answered(0, str(next(iter(requests))), 1, 1)
            raise RuntimeError("engine core died")

    with pytest.raises(RuntimeError, match="engine core died"):
        run(make(tmp_path / "a"), Dead(1), 4, 2)
    stop = iter([False, True])
    with pytest.raises(Stopped):
        run(make(tmp_path / "b", stopping=lambda: next(stop)), Dead(1), 4, 2)


def test_a_share_publishes_its_parts_to_the_last(tmp_path: Path) -> None:
    for index in range(2):
        engine = Engine(50)
        with pytest.raises(ShardDone) as done:
            run(make(tmp_path, shard=Shard(index, 2)), engine, 9, 2)
        assert done.value.rows == sum(len(half) for _, half in engine.taken)
    assert rows(make(tmp_path), 9, 2) == [f"p{row}" for row in range(9)]


def test_publication_does_not_keep_the_engine_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store takes the first part only once the engine has answered all that may be ahead of it."""
    engine, ahead = Engine(1), threading.Event()
    upload = FolderStore.upload

    def slow(self: FolderStore, path: Path, name: str) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert ahead.wait(30), "the engine waits for the store"
        upload(self, path, name)

    class Watched(Engine):
        def answer(self, requests: Iterable[Any], *, on_tokens: OnTokens) -> Iterator[Answered[str]]:
            for answered in super().answer(requests, on_tokens=on_tokens):
                if len(self.answered) == 3:
                    ahead.set()
                yield answered

    monkeypatch.setattr(FolderStore, "upload", slow)
    engine = Watched(1)
    run(make(tmp_path), engine, 6, 1)
    assert rows(make(tmp_path), 6, 1) == [f"p{row}" for row in range(6)]


def test_a_failed_publication_ends_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise StageError("the disk is full")

    monkeypatch.setattr(FolderStore, "upload", full)
    engine = Engine(1)
    with pytest.raises(StageError, match="the disk is full"):
        run(make(tmp_path), engine, 40, 1)
    assert len(engine.answered) < 10
