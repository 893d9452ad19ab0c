"""Several checkpoints of one model, asked in turn: weights swapped in one engine, or an engine for each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from alma.engines.loading import load_generator, load_scorer
from alma.engines.protocols import Generator, Loaded, Scorer
from alma.sections import Inference, Scoring

LoadedT = TypeVar("LoadedT", bound=Loaded)

_CHECKS = {"vllm": "alma.engines.vllm.pool:check_pool", "openai": "alma.engines.openai.generate:check_pool"}
"""Engine → what raises ``DataError`` for folders that one engine cannot serve in turn, before any weights load."""


@runtime_checkable
class Swapping(Loaded, Protocol):
    """An engine that takes another checkpoint's weights in place."""

    def swap(self, model: Path) -> None:
        """Goes on with the model in folder ``model``; of another architecture or tokenizer: ``DataError``.

        Everything that was asked has to be answered by then.
        """


class Pool(Generic[LoadedT]):
    """The engines of several checkpoints, by their place.

    An engine that swaps weights in place has one checkpoint in memory; the others have all that were asked for.
    """

    def __init__(
        self,
        engine: str,
        load: Callable[[Path], LoadedT],
        folders: Sequence[Callable[[], Path]],
        stack: ExitStack,
    ) -> None:
        self._engine, self._load, self._folders, self._stack = engine, load, folders, stack
        self._loaded: dict[int, LoadedT] = {}

    def at(self, place: int) -> LoadedT:
        """The engine of checkpoint ``place``; of one that swaps, the others are no longer to be used."""
        if place not in self._loaded:
            held = next(iter(self._loaded.values()), None)
            if isinstance(held, Swapping):
                held.swap(self._folders[place]())
                self._loaded = {place: held}
            else:
                if not self._loaded:
                    self._check()
                loaded = self._load(self._folders[place]())
                self._stack.enter_context(loaded)
                self._loaded[place] = loaded
        return self._loaded[place]

    def _check(self) -> None:
        if len(self._folders) > 1 and self._engine in _CHECKS:
            module, _, name = _CHECKS[self._engine].partition(":")
            getattr(importlib.import_module(module), name)([folder() for folder in self._folders])


@contextmanager
def generator_pool(cfg: Inference, folders: Sequence[Callable[[], Path]]) -> Iterator[Pool[Generator]]:
    """Yields the pool of the models whose folders these callables give; nothing is fetched before it is asked for."""
    with ExitStack() as stack:
        yield Pool(cfg.engine, partial(load_generator, cfg), folders, stack)


@contextmanager
def scorer_pool(cfg: Scoring, folders: Sequence[Callable[[], Path]]) -> Iterator[Pool[Scorer]]:
    """``generator_pool``, of judges."""
    with ExitStack() as stack:
        yield Pool(cfg.engine, partial(load_scorer, cfg), folders, stack)
