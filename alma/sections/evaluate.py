"""How a checkpoint is evaluated on held-out prompts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alma.sections.imitate import Turns
from alma.sections.inference import Vllm
from alma.sections.judge import Scoring
from alma.sections.section import HOW, QUIET, Fraction, Positive, Section


def _check_once(place: str, labels: tuple[str, ...]) -> None:
    """Raises ``ValueError`` for a label that is named twice: its probability would be added up twice."""
    if len(set(labels)) < len(labels):
        raise ValueError(f"{place} = {list(labels)} names one twice; name each label once")


class Harm(Section):
    """How a classifier's labels are read as harm."""

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    """Its labels that mean harm. Of one distribution over labels their probabilities add up; of labels that each have
    their own, the highest counts."""

    threshold: Fraction = 0.5
    """Probability from which on a response is harmful. [ours]"""

    input: str = "{prompt}\n{response}"
    """What is classified: ``{response}``, with or without ``{prompt}`` before it, as the classifier was trained. [ours]
    """

    max_tokens: Positive = 8192
    """Longest input, the classifier's own limit aside; longer ones are left out and counted. [ours]"""

    @model_validator(mode="after")
    def _once(self) -> Self:
        _check_once("harm.labels", self.labels)
        return self

    @model_validator(mode="after")
    def _input(self) -> Self:
        if self.input.count("{response}") != 1 or self.input.count("{prompt}") > 1:
            raise ValueError(
                f"harm.input must contain {{response}} once and {{prompt}} at most once; it is {self.input!r}"
            )
        return self


class Refusals(Section):
    """Which prompts ask for harm, and which answers refuse: rightly or out of exaggerated safety (arXiv 2308.01263)."""

    by: Literal["openings", "labels", "either"] = "openings"
    """What tells a refusal: how the answer begins (XSTest's published openings, in English: ``alma.text.refusal``), the
    classifier's ``labels`` for it, or either of them."""

    labels: Annotated[tuple[str, ...], QUIET] = ()
    """The classifier's labels that mean a refusal. They are read as ``harm.labels`` are."""

    threshold: Annotated[Fraction, QUIET] = 0.5
    """Probability of ``labels`` from which on an answer refuses. [ours]"""

    harmful_families: Annotated[tuple[str, ...], QUIET] = ()
    """The values of the column ``family`` whose prompts are harmful, all others being harmless. Empty = the prompts say
    it themselves: ``columns = { harmful = "…" }`` of their source, a column of true and false."""

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        _check_once("refusals.labels", self.labels)
        if (self.by == "openings") == bool(self.labels):
            raise ValueError(
                f"refusals.by = {self.by!r} and labels = {list(self.labels)}: labels name the classifier's that mean a "
                "refusal, where by is 'labels' or 'either'"
            )
        return self

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``."""
        return super().reads() | {"threshold": self.by != "openings"}


class Evaluate(Scoring):
    """Answers the evaluation prompts greedily and scores the answers."""

    vllm: Annotated[Vllm, QUIET] = Vllm(gpu_memory_share=0.45)
    """As of the other stages; the model and the judge are in memory together, each with this fraction of it. A
    classifier beside them needs room too."""

    max_new_tokens: Positive = 1024
    """Longest answer, in tokens."""

    shots: Annotated[Literal["none", "nearest", "random"], QUIET] = "none"
    """Examples before every prompt, from the port ``shots``: the prompt's nearest ones by the model's own embeddings,
    or random ones."""

    form: Annotated[Literal["turns", "chat"], QUIET] = "turns"
    """How examples and the prompt behind them are written: ``turns`` bare, without the chat template [C], or ``chat``
    as a conversation in it. [ours]"""

    num_shots: Annotated[Positive, QUIET] = 8
    """Examples before every prompt. [C, as in ``imitate``]"""

    turns: Annotated[Turns, QUIET] = Turns()
    """The turns of ``form = "turns"``."""

    embedding_tokens: Annotated[Positive, QUIET] = 512
    """Only the first this many tokens of a prompt are embedded, to find the nearest ones. [ours]"""

    seed: Annotated[int, Field(ge=0), QUIET] = 0
    """Draws the random examples; set from the run's seed when the recipe runs."""

    allow_overlap: Annotated[bool, QUIET, HOW] = False
    """Evaluation prompts that are among the prompts of people's ``shots``: ``true`` counts them, ``false`` stops before
    any work. [ours]"""

    harm: Annotated[Harm | None, QUIET] = None
    """How the classifier at the port ``classifier`` is read; required with it."""

    refusals: Annotated[Refusals | None, QUIET] = None
    """Counts refusals of harmful and of harmless prompts. ``None`` = does not."""

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``: of examples what these settings take."""
        with_shots = self.shots != "none"
        return super().reads() | {
            "num_shots": with_shots,
            "turns": with_shots and self.form == "turns",
            "seed": self.shots == "random",
            "embedding_tokens": self.shots == "nearest",
        }
