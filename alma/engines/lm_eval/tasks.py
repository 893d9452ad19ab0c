"""Tasks by their names, of one's own folder first, then of the library; with their data, before a model is loaded.

A task is code: the library runs a folder's templates and functions. One that runs what a *model* writes is refused.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from alma.engines.lm_eval.library import library, quiet
from alma.errors import ConfigError, DataError, StoreUnavailableError

OF_FILES = frozenset({"json", "csv", "parquet", "arrow", "text"})
"""Kinds of data sets that are files beside the task, or wherever it says."""


def find(names: Sequence[str], folder: Path | None) -> Any:
    """The library's ``TaskManager`` that knows ``names``.

    Its own 14,000 files are read, for some ten seconds, only where ``folder`` does not hold all of them.
    Raises ``ConfigError`` for a name that nobody knows.
    """
    managers = library("lm_eval.tasks")
    with quiet():
        if folder is not None:
            manager = managers.TaskManager(include_path=str(folder), include_defaults=False)
            if _known(manager, names):
                return manager
        manager = managers.TaskManager(include_path=None if folder is None else str(folder))
    for name in names:
        if name not in manager.task_index:
            near = difflib.get_close_matches(name, manager.all_tasks, n=3)
            raise ConfigError(
                f"tasks: lm-eval {library().__version__} knows no task {name!r}"
                + (", and the task folder holds none of that name" if folder else "")
                + (f"; did you mean {' or '.join(near)}?" if near else "; its names: lm_eval ls tasks")
            )
    return manager


def data_sets(manager: Any, names: Sequence[str]) -> list[str]:
    """The data sets of the Hub that ``names`` take, as far as their files say: a task in Python says none."""
    paths = {str(entry.cfg.get("dataset_path") or "") for entry in _leaves(manager, names) if entry.cfg}
    return sorted(paths - OF_FILES - {""})


def load(manager: Any, name: str, folder: Path | None) -> list[Any]:
    """The tasks, or the group, of a name, with their data: what ``simple_evaluate`` takes in the place of names.

    Data files that a folder's task names are looked for in that folder, as where ``lm_eval`` is started in it.
    Raises ``DataError`` or ``StoreUnavailableError`` that names the data set which cannot be had.
    """
    for entry in _leaves(manager, [name]):
        _refuse(entry.name, runs_programs=bool(entry.cfg and entry.cfg.get("unsafe_code")))
    try:
        with quiet(), chdir(folder or Path.cwd()), _tables(None if data_sets(manager, [name]) else folder):
            found = manager.load([name])
    except ConnectionError as error:
        raise _unreachable(manager, name, error) from error
    except FileNotFoundError as error:  # also DatasetNotFoundError: no such set, or one with terms
        raise DataError(
            f"task {name!r}: its data cannot be found: {error}\nOn the Hub: check the name, and that HF_TOKEN is of "
            "somebody who accepted the set's terms. In a task folder: data_files are named from that folder"
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"task {name!r} needs {error.name!r}, which is not here: install lm-eval's extra for it, in an image too"
        ) from error
    for task in found["tasks"].values():
        _refuse(task.task_name, runs_programs=getattr(task, "UNSAFE_CODE", False))
    return [found["groups"][name]] if name in found.get("groups", {}) else list(found["tasks"].values())


def _refuse(task: str, *, runs_programs: bool) -> None:
    if runs_programs:
        raise ConfigError(
            f"task {task!r} runs code that the model wrote, on this machine and with its credentials; that is done "
            "nowhere here: leave it out, and run it where nothing can be lost"
        )


@contextmanager
def _tables(folder: Path | None) -> Iterator[None]:
    """Within it data sets are made without bars; those of files in ``folder`` beside them, and not in the home."""
    datasets = import_module("datasets")
    before, drawn = datasets.config.HF_DATASETS_CACHE, datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    if folder is not None:
        datasets.config.HF_DATASETS_CACHE = folder / ".cache"
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before
        if not drawn:
            datasets.enable_progress_bars()


def _unreachable(manager: Any, name: str, error: ConnectionError) -> Exception:
    sets = ", ".join(data_sets(manager, [name])) or "of a task in Python"
    what = f"task {name!r} needs the data set {sets} of the Hub, and it cannot be had: {error}"
    remedy = "or bring a task folder with its data (docs/evaluators.md)"
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_DATASETS_OFFLINE"):
        return DataError(f"{what}\nHF_HUB_OFFLINE is set: unset it, put the set into HF_HOME before, {remedy}")
    return StoreUnavailableError(
        f"{what}\nIs this machine, or this pod, let out? Allow it, set HF_ENDPOINT to a mirror, {remedy}"
    )


def _known(manager: Any, names: Sequence[str]) -> bool:
    """Whether all that ``names`` lead to is there."""
    return all(entry is not None for name in names for entry in _walk(manager, name, set()))


def _leaves(manager: Any, names: Sequence[str]) -> list[Any]:
    seen: set[str] = set()
    return [entry for name in names for entry in _walk(manager, name, seen) if entry is not None]


def _walk(manager: Any, name: str, seen: set[str]) -> Iterator[Any]:
    """The entry of a name and of all that it groups; ``None`` for what is not there."""
    if name in seen:
        return
    seen.add(name)
    entry = manager.task_index.get(name)
    yield entry
    if entry is None:
        return
    members = list(entry.tags) if entry.kind.name == "TAG" else []
    if entry.kind.name == "GROUP" and isinstance((entry.cfg or {}).get("task"), list):
        members = [each if isinstance(each, str) else each.get("group", each.get("task")) for each in entry.cfg["task"]]
    for each in members:
        yield from _walk(manager, str(each), seen)
