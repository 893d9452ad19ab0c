"""How many questions the exams have that people hold most, and what asking them takes.

lm-eval's own files say which split is asked; how many rows it has stands on the data sets' pages. Of other tasks the
plan knows nothing, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

from alma.config import Method
from alma.sections import Harness


class Exam(NamedTuple):
    """One task's questions, and how a question is asked."""

    questions: int
    readings: int
    """Continuations that are scored after each question; 0 = the answer is generated."""

    num_fewshot: int = 0
    """Examples before each question, where nothing else is said."""


EXAMS = {
    "ifeval": Exam(541, 0),
    "gsm8k": Exam(1319, 0, 5),
    "minerva_math": Exam(5000, 0, 4),
    "mmlu_pro": Exam(12032, 0, 5),
    "mmlu": Exam(14042, 4),
    "hellaswag": Exam(10042, 4),
    "arc_easy": Exam(2376, 4),
    "arc_challenge": Exam(1172, 4),
    "winogrande": Exam(1267, 2),
    "piqa": Exam(1838, 2),
}
"""Task or group → its exam, as of lm-eval 0.4.13."""


def exams(cfg: Harness) -> list[Exam]:
    """Those of ``cfg`` that are known, ``limit`` and ``num_fewshot`` applied. A group's tasks have the limit each, so
    that one with a limit is not known."""
    known = [EXAMS[name] for name in cfg.tasks if not unknown(cfg, name)]
    if cfg.limit is not None:
        known = [each._replace(questions=min(each.questions, cfg.limit)) for each in known]
    if cfg.num_fewshot is not None:
        known = [each._replace(num_fewshot=cfg.num_fewshot) for each in known]
    return known


def unknown(cfg: Harness, name: str) -> bool:
    """Whether the plan does not know how many questions a name of ``cfg`` has."""
    grouped = name in ("mmlu", "mmlu_pro", "minerva_math")
    return name not in EXAMS or cfg.folder is not None or (grouped and cfg.limit is not None)


def notes(cfg: Method) -> list[str]:
    """A line for each evaluator whose exams are not all counted."""
    found = []
    for each in cfg.outsiders:
        if isinstance(each, Harness):
            names = [name for name in each.tasks if unknown(each, name)]
            if names:
                found.append(f"evaluator {each.name}: nobody here knows how much {', '.join(names)} ask: not counted")
    return found
