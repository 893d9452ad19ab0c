"""A vLLM engine that stays loaded while stages come and go: so that neither side of a ratio pays for loading."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from alma.engines import loading


@contextmanager
def kept(engine: Any) -> Iterator[Any]:
    """``engine``, handed to every stage that loads one inside this block, and closed at its end.

    Stages leave their engine with ``with``; here that does nothing, and an engine is found in place of loaded.
    """
    kind, load = type(engine), loading._engine
    engine.__class__ = type("Kept", (kind,), {"__exit__": lambda *_: None})
    loading._engine = lambda *_: lambda *_: engine  # type: ignore[assignment]
    try:
        with as_alma_runs():
            yield engine
    finally:
        loading._engine = load
        engine.__class__ = kind
        engine.__exit__(None, None, None)


@contextmanager
def as_alma_runs() -> Iterator[None]:
    """Both sides alike: without remarks, and on a CPU without compilation, as the engine runs there."""
    stance = "default" if torch.cuda.is_available() else "force_eager"
    with warnings.catch_warnings(), torch.compiler.set_stance(stance):
        warnings.simplefilter("ignore")
        yield
