"""Exams by lm-eval, one name after another: ``HfExaminer`` and ``VllmExaminer``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alma.engines.lm_eval import model as models
from alma.engines.lm_eval import tasks
from alma.engines.lm_eval.library import library, quiet
from alma.engines.requests import Mark
from alma.errors import ConfigError
from alma.sections import Harness


class LmEvalExaminer(ABC):
    """``alma.engines.Examiner``: tasks and their data are there when it is made, the model when the first is held."""

    module: str

    def __init__(self, cfg: Harness, folder: Path | None) -> None:
        self.cfg = cfg
        self._lm: Any = None
        manager = tasks.find(cfg.tasks, folder)
        self._exams = {name: tasks.load(manager, name, folder) for name in cfg.tasks}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lm is not None:
            models.release(self._lm)
            self._lm = None

    @abstractmethod
    def load(self, model: Path) -> Any:
        """The model as the library asks it."""

    def hold(self, name: str, model: Path, *, on_requests: Callable[[int], None] = lambda _: None) -> list[Mark]:
        """See ``alma.engines.Examiner``."""
        cfg = self.cfg
        if self._lm is None:
            self._lm = self.load(model)
        with quiet(), models.heard(self.module, on_requests):
            try:
                found = library().simple_evaluate(
                    model=self._lm,
                    tasks=self._exams[name],
                    num_fewshot=cfg.num_fewshot,
                    limit=cfg.limit,
                    apply_chat_template=cfg.chat_template,
                    fewshot_as_multiturn=cfg.chat_template,
                    random_seed=cfg.seed,
                    numpy_random_seed=cfg.seed,
                    torch_random_seed=cfg.seed,
                    fewshot_random_seed=cfg.seed,
                    log_samples=False,
                )
            except AssertionError as error:
                if "max tokens to generate" not in str(error):
                    raise
                raise ConfigError(f"task {name!r} cannot be asked of {model}: {error}") from error
        return marks(found)


class HfExaminer(LmEvalExaminer):
    """By transformers, on one device."""

    module = models.HF

    def load(self, model: Path) -> Any:
        """See ``LmEvalExaminer``."""
        return models.hf_model(self.cfg, model)


class VllmExaminer(LmEvalExaminer):
    """By vLLM."""

    module = models.VLLM

    def load(self, model: Path) -> Any:
        """See ``LmEvalExaminer``."""
        return models.vllm_model(self.cfg, model)


def marks(found: Mapping[str, Any]) -> list[Mark]:
    """The library's results as values: of every task, and of every group that has a number of its own."""
    return list(_marks(found, {**found["results"], **found.get("groups", {})}))


def _marks(found: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> Iterator[Mark]:
    for task, values in sorted(results.items()):
        for key, value in values.items():
            name, _, kind = key.partition(",")
            if not kind or name.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = values.get(f"{name}_stderr,{kind}")
            yield Mark(
                task,
                name if kind == "none" else key,
                float(value),
                float(error) if isinstance(error, int | float) and math.isfinite(error) else None,
                _num(found, task, values, key),
                found["higher_is_better"].get(task, {}).get(name),
            )


def _num(found: Mapping[str, Any], task: str, values: Mapping[str, Any], key: str) -> int:
    of_group = values.get("sample_count", {}).get(key)
    if of_group is not None:
        return int(of_group)
    stated = found["n-samples"].get(task, {}).get("effective")
    return int(values.get("sample_len", 0) if stated is None else stated)
