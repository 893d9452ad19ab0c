"""One stop on the time axis, and the run so far."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from alma.page.numbers.estimate import Numbers
from alma.page.numbers.evaluation import BestOfN, Measure, Quality
from alma.page.numbers.judging import JudgeValidation
from alma.page.numbers.outside import Outside
from alma.page.numbers.rounds import Imitation, Overlap, Prompts, Sampling, Selection
from alma.page.numbers.training import Proof, StageCost, Training
from alma.sections.report import PageSection


class Point(Numbers):
    """One stop on the time axis."""

    label: str
    round: int
    quality: Quality | None = None
    few_shot: Quality | None = None
    """The same checkpoint, asked behind examples."""
    sampling: Sampling | None = None
    selection: Selection | None = None
    best_of_n: BestOfN | None = None
    judge: JudgeValidation | None = None
    judge_first: JudgeValidation | None = None
    judge_base: JudgeValidation | None = None
    """The untrained base as a judge."""
    prompts: Prompts | None = None
    overlaps: tuple[Overlap, ...] = ()
    """Of the sets that no earlier point counted."""
    training: Training | None = None
    proof: Proof | None = None
    """Where it is another one than an earlier point's."""
    costs: tuple[StageCost, ...] = ()
    """Of the artifacts that no earlier point counted."""
    arm: str = ""
    """What this point is a repeat of, where methods are compared."""
    repeat: int | None = None
    measures: tuple[Measure, ...] = ()
    imitation: Imitation | None = None
    outside: tuple[Outside, ...] = ()
    """What each outside evaluator says of the checkpoint, in the order of their names."""

    @model_serializer(mode="wrap")
    def _as_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what most points have not: what is compared, other evaluations, a proof that says news."""
        values: dict[str, Any] = write(self)
        empty = {
            "few_shot": None,
            "overlaps": (),
            "proof": None,
            "arm": "",
            "repeat": None,
            "measures": (),
            "imitation": None,
            "outside": (),
        }
        return {
            name: value for name, value in values.items() if name not in empty or getattr(self, name) != empty[name]
        }


class Report(Numbers):
    """The whole run so far."""

    format: Literal[2] = 2
    title: str
    about: str = ""
    """What was run, in a few words; empty = the title."""
    sections: tuple[PageSection, ...]
    """Those of the page, in their order."""
    points: Annotated[tuple[Point, ...], Field(min_length=1)]
