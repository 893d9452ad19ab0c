"""Exams that a run holds, looked up before any work: an unknown task or a data set out of reach is told then."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from alma import sources
from alma.config import Method
from alma.engines import load_examiner
from alma.errors import AlmaError
from alma.recipes.graph import graph
from alma.sections import Harness, IngestTasks


def check_exams(cfg: Method, base: Path, *, held_elsewhere: bool = False) -> list[str]:
    """Every task is known and has its data, which is fetched; returns a line for each evaluator that holds exams.

    Raises as ``alma.engines.load_examiner`` does. ``held_elsewhere`` says that pods of another image hold them, so that
    lm-eval need not be here: what cannot be looked up here, their first pod does, before it loads a model.
    """
    lines = []
    for use in dict.fromkeys(step.use for step in graph(cfg)):
        section = cfg.uses[use]
        if not isinstance(section, Harness):
            continue
        if held_elsewhere and find_spec("lm_eval") is None:
            lines.append(f"{use}: {', '.join(section.tasks)} are looked up by its first pod, before a model is loaded")
            continue
        try:
            with TemporaryDirectory(prefix="alma-") as scratch:
                folder = None if section.folder is None else _linked(section.folder, base, Path(scratch))
                with load_examiner(section, folder):
                    lines.append(f"{use}: {', '.join(section.tasks)} and their data are there")
        except AlmaError as error:
            raise type(error)(f"{use}: {error}") from error
    return lines


def _linked(cfg: IngestTasks, base: Path, scratch: Path) -> Path:
    """The task folder in ``scratch``: nothing is written where people keep it."""
    folder = scratch / "linked"
    for name, path in sources.fetch_tasks(cfg, base, scratch):
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    return folder
