"""Keeps an engine busy across parts: the next one's requests enter before the last one's stragglers leave.

A part is published as soon as it is whole, in a thread of its own: Parquet and the store never keep the engine waiting.
Rows have the same order and content whatever ran beside them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, groupby, islice
from types import TracebackType
from typing import Any, Self, TypeAlias

from alma.artifact.out import Out, Part
from alma.artifact.shard import ShardDone
from alma.engines.protocols import Engine
from alma.engines.requests import Answered, OnTokens, Request
from alma.errors import AlmaError
from alma.progress import Progress

UNPUBLISHED_PARTS = 2
"""Whole parts that may wait for the store before the engine has to wait too: their rows are in memory."""

MakeRequest: TypeAlias = Callable[[Any], Request]
"""Makes a request once the engine that is to answer it is there: its chat template is part of the text."""

Asked: TypeAlias = tuple[int, MakeRequest]
"""Whose turn it is to answer (a checkpoint's place in its pool; 0 where there is one model), and what it is asked."""

EngineOf: TypeAlias = Callable[[int], Engine[Any, Any]]
"""The engine whose turn it is. Before the next turn all that was asked in the last one is answered."""


@dataclass(frozen=True, slots=True)
class PartRequests:
    """What a part is made of."""

    asked: Sequence[Asked]
    rows: Callable[[list[Any], int], tuple[Sequence[Mapping[str, Any]], Mapping[str, int]]]
    """From the answers in the order of ``asked`` and the tokens that they took: the part's rows, and its counts."""


@dataclass(slots=True)
class _Open:
    """A part whose requests are not all answered."""

    part: Part
    progress: Progress
    requests: PartRequests
    answers: dict[int, Any] = field(default_factory=dict)  # by place in requests.asked
    num_tokens: int = 0


def feed(
    out: Out,
    num_rows: int,
    part_rows: int,
    unit: str,
    schema: str,
    requests: Callable[[Part], PartRequests],
    engine: EngineOf,
    *,
    parts_per_turn: int = 1,
) -> None:
    """Publishes every part of ``num_rows`` rows that is not published yet, as rows of ``schema``.

    ``requests`` is called when the engine has room for another part. With several turns, ``parts_per_turn`` parts are
    asked for in one turn, then in the next, and in the opposite order the time after: a change of turn costs time.
    Asked to stop, it raises ``alma.errors.Stopped`` at once: what was whole by then is published.
    Raises ``ShardDone`` as ``Out.each`` does.
    """
    running: dict[int, tuple[_Open, int]] = {}  # by place of the request: its part, and its place there
    done: list[ShardDone] = []
    shown: list[Progress] = []

    def parts() -> Iterator[_Open]:
        try:
            for part, progress in out.each(num_rows, part_rows, unit):
                shown[:] = [progress]
                yield _Open(part, progress, requests(part))
        except ShardDone as shard_done:  # the last parts are still being computed
            done.append(shard_done)

    def asked() -> Iterator[Asked]:
        pending, backwards, numbers = parts(), False, count()
        while group := list(islice(pending, parts_per_turn)):
            for turn in sorted({turn for each in group for turn, _ in each.requests.asked}, reverse=backwards):
                for each in group:
                    for place, (of_turn, make) in enumerate(each.requests.asked):
                        if of_turn == turn:
                            running[next(numbers)] = each, place
                            yield turn, make
            backwards = not backwards

    def hear(num_tokens: int) -> None:
        out.check_stop()
        shown[0].advance(0, num_tokens)

    with _Publisher(out, schema) as publish, closing(_answers(engine, asked(), hear)) as given:
        try:
            for answered in given:
                opened, place = running.pop(answered.place)
                opened.answers[place] = answered.answer
                opened.num_tokens += answered.num_tokens
                opened.progress.advance(answered.num_rows)
                if len(opened.answers) == len(opened.requests.asked):
                    in_order = [opened.answers.pop(at) for at in range(len(opened.requests.asked))]
                    publish(opened.part, *opened.requests.rows(in_order, opened.num_tokens))
                    out.check_stop()
        except AlmaError:
            raise
        except Exception:
            out.check_stop()  # an engine whose processes were told to stop too says so in its own way
            raise
    assert not running, f"{len(running)} requests were not answered"
    if done:
        raise done[0]


def _answers(engine: EngineOf, asked: Iterable[Asked], on_tokens: OnTokens) -> Generator[Answered[Any], None, None]:
    """What neighbours of one turn ask is answered without a pause; places are counted over all turns."""
    before = 0
    for turn, group in groupby(asked, key=lambda each: each[0]):
        present, num = engine(turn), 0
        for answered in present.answer((make(present) for _, make in group), on_tokens=on_tokens):
            yield answered._replace(place=before + answered.place)
            num += 1
        before += num


class _Publisher:
    """Publishes in another thread, in the order given; leaving the block waits for all of it."""

    def __init__(self, out: Out, schema: str) -> None:
        self._out, self._schema = out, schema
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._running: deque[Future[None]] = deque()

    def __call__(self, part: Part, rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> None:
        """Raises what an earlier publication failed with."""
        while self._running and (self._running[0].done() or len(self._running) >= UNPUBLISHED_PARTS):
            self._running.popleft().result()
        self._running.append(self._thread.submit(self._out.publish, part, self._schema, rows, counts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        failures = [failure for each in self._running if (failure := each.exception())]
        if failures and error is None:
            raise failures[0]
        for failure in failures:
            assert error is not None
            error.add_note(f"Besides, a finished part was not published: {failure}")
