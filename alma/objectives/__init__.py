"""What a training learns: one objective per file here, and a line in ``OBJECTIVES``.

All that the run file, the recipes, ``finetune`` and ``alma plan`` ask of an objective is said here, in plain Python;
how it is trained with TRL is the file of its name in ``alma/engines/trl``, with a line in the table of
``alma/engines/trl/objective.py``. The name is also one of the choices of ``Finetune.objective``.
"""

from __future__ import annotations

from alma.objectives.dpo import DPO
from alma.objectives.judge import JUDGE
from alma.objectives.objective import Objective, Source
from alma.objectives.sft import SFT

__all__ = ["OBJECTIVES", "Objective", "Source", "policy_objectives", "with_reference"]

OBJECTIVES: dict[str, Objective] = {"sft": SFT, "dpo": DPO, "judge": JUDGE}
"""The objectives, by name."""


def policy_objectives(schema: str) -> tuple[str, ...]:
    """The names of those that train a model which answers on rows of ``schema``; the first one is the usual one."""
    return tuple(name for name, each in OBJECTIVES.items() if each.trains == "policy" and schema in each.sources)


def with_reference() -> tuple[str, ...]:
    """The names of those that read what a reference model thinks of the rows."""
    return tuple(name for name, each in OBJECTIVES.items() if each.reads_reference)
