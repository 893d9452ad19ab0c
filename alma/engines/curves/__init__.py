"""A training's curves, step by step, in a library that people watch: TensorBoard, Weights & Biases, MLflow.

They show what ``curve.jsonl`` and ``speed.jsonl`` hold, while it happens. None of them is needed, a library is
imported where it is asked for, and none can end a training: what does not answer is told of once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, Self

from alma.errors import ConfigError
from alma.nodes import Nodes
from alma.sections import Finetune

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Named:
    """What a training is called where its curves are shown."""

    title: str
    """For people: the run and the step."""

    key: str
    """Of its artifact: an attempt that goes on is the same training."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it is trained with."""


class Curve(Protocol):
    """One place where curves are shown."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """What a step reports, all of it finite."""

    def close(self, ended: bool) -> None:
        """No more steps come; ``ended`` where the training is whole, and not to be gone on with."""


REPORTERS = {
    "tensorboard": "alma.engines.curves.tensorboard:TensorBoard",
    "wandb": "alma.engines.curves.wandb:Wandb",
    "mlflow": "alma.engines.curves.mlflow:Mlflow",
}
"""Name in ``Finetune.report_to`` → its class, made from ``(cfg, training, say)``. It raises ``ConfigError`` for a
library that is not installed; whatever else it raises means that the place does not answer."""


def asked(cfg: Finetune) -> tuple[str, ...]:
    """Where curves go: what ``report_to`` names, and MLflow wherever its variables stand, as KFP sets them.

    Of several machines that train together the first one tells.
    """
    if Nodes.here().helps:
        return ()
    found = os.environ.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://"))
    return tuple(dict.fromkeys((*cfg.report_to, *(("mlflow",) if found else ()))))


class Curves:
    """All places of a training; within the ``with`` block they hear of every step.

    Raises ``ConfigError`` for one that is asked for and cannot be, before anything is trained.
    """

    def __init__(self, cfg: Finetune, training: Named, say: Say) -> None:
        self._say = say
        self._open: dict[str, Curve] = {}
        for name in asked(cfg):
            module, _, kind = REPORTERS[name].partition(":")
            with self._guarded(name):
                self._open[name] = getattr(import_module(module), kind)(cfg, training, say)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, curve in list(self._open.items()):
            with self._guarded(name):
                curve.close(error is None)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """What a step reports. What is no finite number is left out."""
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        for name, curve in list(self._open.items()):
            with self._guarded(name):
                curve.step(step, finite)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Whatever goes wrong with one is told once, and it is asked no more: the training goes on."""
        try:
            yield
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - libraries of others, which may raise anything
            self._open.pop(name, None)
            said = str(error).partition("\n")[0] or type(error).__name__
            self._say(f"report_to: {name} does not take the training's curves, which goes on without: {said}")


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found
