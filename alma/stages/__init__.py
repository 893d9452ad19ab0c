"""The stages: one verb per file, each a function of its section and its input artifacts.

``run(cfg, *, <ports>, out) -> Metrics`` is the whole contract: the annotation of ``cfg`` is its section, the keyword
parameters are its input ports, ``out`` its one output. A stage knows neither S3 nor Kubernetes nor other stages.
"""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alma.errors import ConfigError
from alma.sections import Section

Kind = Literal["rows", "model", "page"]

STAGES: dict[str, tuple[str, Kind | None]] = {
    "ingest": ("alma.stages.ingest", None),  # its section says what it brings
    "synthesize": ("alma.stages.synthesize", "rows"),
    "curate": ("alma.stages.curate", "rows"),
    "embed": ("alma.stages.embed", "rows"),
    "diversify": ("alma.stages.diversify", "rows"),
    "respond": ("alma.stages.respond", "rows"),
    "judge": ("alma.stages.judge", "rows"),
    "select": ("alma.stages.select", "rows"),
    "reference": ("alma.stages.reference", "rows"),
    "finetune": ("alma.stages.finetune", "model"),
    "evaluate": ("alma.stages.evaluate", "rows"),
    "imitate": ("alma.stages.imitate", "rows"),
    "reward": ("alma.stages.reward", "rows"),
    "appraise": ("alma.stages.appraise", "rows"),
    "contest": ("alma.stages.contest", "rows"),
    "examine": ("alma.stages.examine", "rows"),
    "report": ("alma.stages.report", "page"),
}
"""Stage → its module and what it leaves."""

SHARDABLE = frozenset({"synthesize", "embed", "respond", "judge", "reference", "reward"})
"""Stages that may run as several shards: they publish part after part, each from the inputs alone."""


@dataclass(frozen=True)
class Stage:
    """A stage, imported."""

    name: str
    module: types.ModuleType
    sections: tuple[type[Section], ...]
    ports: Mapping[str, bool]
    """Port → whether it must be given."""
    kinds: Mapping[str, type]
    """Port → ``Rows``, ``Model`` or ``Page``."""
    family: bool = False
    """Whether it also takes any number of ports ``by_<name>``."""

    @property
    def version(self) -> int:
        """Raised whenever the stage's result changes for equal settings and inputs."""
        version: int = self.module.VERSION
        return version

    def kind(self, cfg: Section) -> Kind:
        """What the stage leaves, given its section."""
        kind = STAGES[self.name][1]
        return kind or ("model" if getattr(cfg, "kind", None) == "model" else "rows")


def check_known(name: str) -> None:
    """Raises ``ConfigError`` for a name that no stage has."""
    if name not in STAGES:
        raise ConfigError(f"unknown stage {name!r}; there are: {', '.join(STAGES)}")


def load_stage(name: str) -> Stage:
    """Imports a stage by name. Raises ``ConfigError`` for an unknown one."""
    check_known(name)
    module = importlib.import_module(STAGES[name][0])
    hints = typing.get_type_hints(module.run)
    parameters = inspect.signature(module.run).parameters
    family = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    ports = {
        port: parameter.default is inspect.Parameter.empty
        for port, parameter in parameters.items()
        if port not in ("cfg", "out", "base", "identity") and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    kinds = {port: next(kind for kind in (*typing.get_args(hints[port]), hints[port]) if kind) for port in ports}
    return Stage(name, module, _sections(hints["cfg"]), ports, kinds, family)


def _sections(hint: Any) -> tuple[type[Section], ...]:
    return typing.get_args(hint) or (hint,)
