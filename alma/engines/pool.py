"""Several checkpoints of one model, asked in turn: weights swapped in one engine, or an engine for each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from alma.engines.loading import load_generator
from alma.engines.protocols import Generator
from alma.sections import Inference

_CHECKS = {"vllm": "alma.engines.vllm.pool:check_pool", "openai": "alma.engines.openai.generate:check_pool"}
"""Engine → what raises ``DataError`` for folders that one engine cannot serve in turn, before any weights load."""


@runtime_checkable
class Swapping(Generator, Protocol):
    """A generator that takes another checkpoint's weights in place."""

    def swap(self, model: Path) -> None:
        """Goes on with the model in folder ``model``; of another architecture or tokenizer: ``DataError``.

        Everything that was asked has to be answered by then.
        """


class Pool:
    """The generators of several checkpoints, by their place.

    An engine that swaps weights in place has one checkpoint in memory; the others have all that were asked for.
    """

    def __init__(self, cfg: Inference, folders: Sequence[Callable[[], Path]], stack: ExitStack) -> None:
        self._cfg, self._folders, self._stack = cfg, folders, stack
        self._loaded: dict[int, Generator] = {}

    def generator(self, place: int) -> Generator:
        """The generator of checkpoint ``place``; of an engine that swaps, the others are no longer to be used."""
        if place not in self._loaded:
            held = next(iter(self._loaded.values()), None)
            if isinstance(held, Swapping):
                held.swap(self._folders[place]())
                self._loaded = {place: held}
            else:
                if not self._loaded:
                    self._check()
                loaded = load_generator(self._cfg, self._folders[place]())
                self._loaded[place] = self._stack.enter_context(loaded)
        return self._loaded[place]

    def _check(self) -> None:
        if len(self._folders) > 1 and self._cfg.engine in _CHECKS:
            module, _, name = _CHECKS[self._cfg.engine].partition(":")
            getattr(importlib.import_module(module), name)([folder() for folder in self._folders])


@contextmanager
def generator_pool(cfg: Inference, folders: Sequence[Callable[[], Path]]) -> Iterator[Pool]:
    """Yields the pool of the models whose folders these callables give; nothing is fetched before it is asked for."""
    with ExitStack() as stack:
        yield Pool(cfg, folders, stack)
