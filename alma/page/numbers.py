"""What ``report.json`` holds: the numbers of every point of the run so far, and nothing that a model wrote.

A point is one stop on the page's time axis: the base model, the initial SFT, then each round. What a point has no input
for is ``None`` or empty, and the page says so. Fractions are 0..1, scores 0..10, lengths in tokens, times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from alma.sections.report import PageSection
from alma.statistics import mean_and_error, mean_over_groups, t_interval, wilson


class Numbers(BaseModel):
    """Base of all below: frozen, no unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Numbers):
    """A value with its 95% interval; ``low`` and ``high`` are ``None`` where one row cannot tell."""

    value: float
    low: float | None
    high: float | None
    num: int

    @classmethod
    def mean(cls, values: npt.ArrayLike) -> Estimate | None:
        """Mean with Student's interval; ``None`` of nothing."""
        value, error = mean_and_error(values)
        return cls._student(value, error, np.size(values) - 1, np.size(values))

    @classmethod
    def over_groups(cls, groups: Iterable[npt.ArrayLike]) -> Estimate | None:
        """Mean of the groups' means; ``num`` groups. ``None`` without groups."""
        found = list(groups)
        return cls._student(*mean_over_groups(found), len(found))

    @classmethod
    def _student(cls, value: float, error: float, df: float, num: int) -> Estimate | None:
        if math.isnan(value):
            return None
        low, high = t_interval(value, error, df)
        known = not math.isnan(low)
        return cls(value=value, low=low if known else None, high=high if known else None, num=num)

    @classmethod
    def fraction(cls, k: int, n: int) -> Estimate | None:
        """k of n with Wilson's interval; ``None`` of nothing."""
        if n == 0:
            return None
        low, high = wilson(k, n)
        return cls(value=k / n, low=low, high=high, num=n)


class Family(Numbers):
    """One group of the evaluation prompts."""

    name: str
    exact_match: Estimate | None
    score: Estimate | None


class Quality(Numbers):
    """A checkpoint on the evaluation prompts."""

    checkpoint_id: str
    num_shots: int = 0
    """Examples before every prompt."""
    num_prompts: int
    num_unparsed: int
    exact_match: Estimate | None
    """Fraction of the answers that equal their reference, of those that have one."""
    score: Estimate | None
    """The judge's mean score."""
    tokens: Estimate | None
    tokens_median: float
    ended: Estimate | None
    """Fraction that came to the end marker."""
    families: tuple[Family, ...]
    exact_match_by_family: Estimate | None
    """Mean over the families of their fractions, each family counting the same: the paper's average over sets."""
    score_by_family: Estimate | None
    """As ``exact_match_by_family``, of the judge's score."""
    prompts_digest: str
    """Equal for equal evaluation prompts: then ``correct`` and ``scores`` are pairs."""
    correct: tuple[bool | None, ...]
    scores: tuple[float | None, ...]


class Checkpoint(Numbers):
    """A member of the pool that answers."""

    id: str
    sampled: int
    selected: int


class Sampling(Numbers):
    """The judged responses of one round."""

    num_prompts: int
    num_responses: int
    num_unparsed: int
    num_marked: int = 0
    """Responses that hold a marker of a template, and were left out."""
    mass: Estimate | None
    """Probability that the judge gives to the scale 0..10 at all."""
    spread: float
    """Mean standard deviation of a judgement."""
    histogram: tuple[int, ...]
    """Parsed responses by mean score, in equal bins from 0 to 10."""
    best: Estimate | None
    average: Estimate | None
    worst: Estimate | None
    """Per prompt the best, mean and worst score, averaged over prompts."""
    distinct: Estimate | None
    """Per prompt the fraction of its responses that differ from each other."""
    tokens: Estimate | None
    checkpoints: tuple[Checkpoint, ...]


class Selection(Numbers):
    """The training rows so far that models wrote."""

    kind: Literal["best", "pairs"]
    num: int
    num_new: int
    """Rows of this round."""
    distinct: Estimate | None
    """Fraction of the (chosen) responses that differ from each other, over all rounds so far."""
    tokens_new: Estimate | None


class BestOfN(Numbers):
    """Best-of-n on the evaluation prompts, at each of ``n``."""

    num_prompts: int
    num_samples: int
    n: tuple[int, ...]
    score: tuple[Estimate, ...]
    pick: tuple[Estimate, ...]
    any_correct: tuple[Estimate, ...]
    num_referenced: int


class Reading(Numbers):
    """One way to read the judge, against people."""

    name: str
    accuracy: Estimate | None
    tied: float | None
    """Fraction of the pairs to which it gives equal scores."""
    spearman: float | None
    error: float
    """Mean absolute difference from the human score."""


class Bin(Numbers):
    """Responses that the judge scored between ``low`` and ``high``."""

    low: float
    high: float
    predicted: float
    human: Estimate


class JudgeValidation(Numbers):
    """The judge on held-out human scores."""

    num_rows: int
    num_unparsed: int
    readings: tuple[Reading, ...]
    bins: tuple[Bin, ...]
    density: tuple[tuple[float, float, int], ...]
    """(judge, human, rows), each score rounded to a half."""


class Prompts(Numbers):
    """The pool."""

    num: int
    sizes: tuple[int, ...]
    """Prompts per cluster, largest first; thinned where there are very many clusters."""
    num_clusters: int
    effective_clusters: float
    """exp of the entropy of the cluster sizes: as many equal clusters would be as diverse."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    cluster: tuple[int, ...]
    """The map: at most ``measure.MAP_POINTS`` prompts."""


class Overlap(Numbers):
    """What one set has in common with another, by the kinds of ``alma.text.overlap``."""

    ours: str
    theirs: str
    exact: int
    near: int
    ngrams: int | None
    """``None`` where it was not looked for."""
    num: int
    """Prompts that were compared."""
    dropped: bool


class Check(Numbers):
    """One thing that was tried on a model (``alma.engines.ways.Finding``)."""

    check: str
    differs: float | None
    problem: str
    chosen: str


class Proof(Numbers):
    """What was found out about the model that is trained."""

    model_type: str
    checks: tuple[Check, ...]


class Training(Numbers):
    """The loss of one training, at most ``measure.LOSS_POINTS`` points of it."""

    step: tuple[int, ...]
    loss: tuple[float, ...]
    num_steps: int
    num_tokens: int


class Measure(Numbers):
    """One measure of an evaluation (``alma.artifact.measures``), over its prompts."""

    name: str
    value: float
    error: float | None
    """Standard error of the mean over prompts; ``None`` of one prompt."""
    num: int


class Imitation(Numbers):
    """What one iteration of ``imitate`` wrote and kept."""

    iteration: int
    num_attempts: int
    num_kept: int
    dropped: tuple[tuple[str, int], ...]
    """(reason, attempts), in the order of the filters."""
    nearest_rouge: float
    """Mean ROUGE-L of a kept question to the nearest other one: higher is less diverse."""
    distinct_words: float
    """Fraction of the words of the kept questions that are distinct."""
    response_tokens: float


UNKNOWN = "unknown"
"""The device of an artifact whose ``cost.json`` is gone; its seconds and tokens are 0 and not known."""


class StageCost(Numbers):
    """What one artifact took."""

    ref: str
    stage: str
    seconds: float
    tokens: int
    device: str


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

    @model_serializer(mode="wrap")
    def _as_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what most points have not: what is compared, another evaluation, a proof that says news."""
        values: dict[str, Any] = write(self)
        empty = {
            "few_shot": None,
            "overlaps": (),
            "proof": None,
            "arm": "",
            "repeat": None,
            "measures": (),
            "imitation": None,
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
    points: tuple[Point, ...]
