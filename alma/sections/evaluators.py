"""Who judges a run from outside: never what selects, always beside the judge that the run optimises.

Each kind is a section of a run file's ``[[alma.evaluators]]``, and the settings of the stage that asks it. What only
says where something lies, or which checkpoints are looked at, is no part of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from alma.sections.evaluate import Evaluate, Refusals
from alma.sections.inference import Inference, OpenAI
from alma.sections.ingest import Ingest, IngestModel, IngestRows, IngestTasks
from alma.sections.section import HOW, QUIET, Fraction, Positive, Section, Seed

BY = "by_"
"""What the ports of a report begin with that take outside evaluators' rows: ``by_<name>``."""

EvaluatorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Every = Annotated[int, Field(ge=1)] | Literal["all", "ends"]


class Outsider(Section):
    """What every outside evaluator has in common."""

    brings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What it takes from outside: field → what its ``ingest`` is told by itself."""

    name: Annotated[EvaluatorName, HOW]
    """What people call it: on the page, and in the names of its steps."""

    every: Annotated[Every, QUIET, HOW] = "all"
    """Which evaluated checkpoints it looks at: ``all``, their ``ends`` (the first and the last), or the first that is
    trained, every n-th behind it, and the last."""

    @property
    def asks(self) -> Section:
        """The settings of the stage that asks it."""
        return self

    @property
    def sources(self) -> dict[str, Ingest]:
        """What it takes from outside, by field."""
        given = {name: getattr(self, name) for name in self.brings}
        return {name: source for name, source in given.items() if source is not None}

    @model_validator(mode="before")
    @classmethod
    def _brings(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {name: told | values[name] for name, told in cls.brings.items() if isinstance(values.get(name), dict)}
        return values | given


class Reward(Outsider, Inference):
    """A scalar reward model: sequence classification with one logit, whose raw value is the score."""

    brings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"model": {"kind": "model", "task": "reward"}}

    kind: Literal["reward"] = "reward"
    """Says that this is a reward model."""

    model: Annotated[IngestModel, HOW]
    """The reward model, with the chat template that it was trained with."""

    max_tokens: Positive = 8192
    """Longest conversation, the model's own limit aside; longer ones are left out and counted. [ours]"""


class Chat(Outsider):
    """A model behind an OpenAI-compatible endpoint, which grades answers of 1 to 10 (MT-Bench, arXiv 2306.05685)."""

    kind: Literal["chat"] = "chat"
    """Says that this is a served model."""

    openai: OpenAI
    """Where it is served, and under what name."""

    pointwise: Annotated[bool, QUIET, HOW] = True
    """Grade every answer. ``false`` for one that only compares (``by`` of ``answers``)."""

    pairwise: Annotated[bool, QUIET] = False
    """Compare with the answers at the port ``others``, in both orders, instead of grading; set by the recipe."""

    max_new_tokens: Positive = 2048
    """Longest verdict, in tokens. [FastChat]"""

    temperature: Annotated[Annotated[float, Field(ge=0.0, le=2.0)] | Literal["default"], QUIET] = 0.0
    """How the verdict is sampled [FastChat]. ``default`` = not said, for models that take no other than their own."""

    limit: Annotated[Literal["max_tokens", "max_completion_tokens"], QUIET, HOW] = "max_tokens"
    """The field of the request that holds ``max_new_tokens``; newer models of OpenAI take the second only."""

    max_bad_share: Annotated[Fraction, QUIET, HOW] = 0.05
    """Fraction of unreadable verdicts above which the stage fails; below it they are counted. [ours]"""

    part_rows: Annotated[Positive, HOW] = 64
    """Answers per published part. Replies about a part that is not whole yet are kept on the machine: where that is
    lost as well, so many answers are paid for twice at most."""


class Answers(Outsider):
    """A comparator's answers to the evaluation prompts: win rate, and length-controlled win rate (arXiv 2404.04475)."""

    brings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"answers": {"kind": "pairs"}}

    kind: Literal["answers"] = "answers"
    """Says that these are answers to compare with."""

    answers: Annotated[IngestRows, HOW]
    """Its answers, a row with the prompt's text and the response for every evaluation prompt."""

    by: Annotated[EvaluatorName, HOW]
    """The evaluator that prefers: the higher reward of a ``reward`` model, or a ``chat`` model in both orders."""

    max_missing_share: Annotated[Fraction, QUIET, HOW] = 0.0
    """Fraction of the evaluation prompts that it may leave unanswered; those are left out and counted. [ours]"""

    seed: Annotated[int, Field(ge=0), QUIET] = 0
    """Draws the bootstrap's resamples."""


class Harness(Outsider, Inference):
    """Tasks of lm-evaluation-harness, which show whether a gain in style costs knowledge."""

    brings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"folder": {"kind": "tasks"}}

    kind: Literal["harness"] = "harness"
    """Says that these are such tasks."""

    every: Annotated[Every, QUIET, HOW] = "ends"
    """As of other evaluators; tasks take long."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of tasks, groups or tags, such as ``ifeval`` and ``gsm8k``: of ``folder``, then of lm-eval itself. The data
    of the latter come from the Hub, without a commit: what somebody changes there changes the exam."""

    folder: Annotated[IngestTasks | None, QUIET, HOW] = None
    """A task folder of one's own, as ``lm_eval --include_path`` takes it; with its data in it nothing is fetched."""

    num_fewshot: Annotated[Annotated[int, Field(ge=0)] | None, QUIET] = None
    """Examples before every question; a task that sets 0 itself keeps it. ``None`` = as each task has it."""

    limit: Annotated[Positive | None, QUIET] = None
    """Only the first this many questions of each task: to try it out. A number so found is no result."""

    chat_template: Annotated[bool, QUIET] = True
    """Ask in the checkpoint's chat template, examples as earlier turns; ``false`` asks in bare text. [ours]"""

    seed: Annotated[Seed, QUIET] = 1234
    """Draws the examples, and what a task samples; the run's seed does not change it. [lm-eval]"""

    @model_validator(mode="after")
    def _held(self) -> Self:
        if self.engine == "openai":
            raise ValueError("engine = 'openai': exams are held on the checkpoint itself; set engine = 'hf' or 'vllm'")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks = {list(self.tasks)} names one twice")
        return self


class Safety(Outsider):
    """Answers to prompts of its own: how many are harmful, and what is refused rightly and wrongly."""

    brings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "prompts": {"kind": "prompts"},
        "classifier": {"kind": "model", "task": "classification"},
    }

    kind: Literal["safety"] = "safety"
    """Says that this is about safety."""

    prompts: IngestRows
    """Harmful and harmless prompts."""

    classifier: IngestModel | None = None
    """A model that tells harmful answers, and refusals where it has labels for them. ``None`` = refusals alone, by how
    answers begin."""

    evaluate: Evaluate = Evaluate(refusals=Refusals())
    """How they are answered, how the classifier is read (``harm``), and what a refusal is (``refusals``)."""

    @model_validator(mode="before")
    @classmethod
    def _told(cls, values: Any) -> Any:
        """Refusals are counted, and the prompts say by themselves which of them are harmful unless families do."""
        if not isinstance(values, dict):
            return values
        evaluate, prompts = values.get("evaluate", {}), values.get("prompts")
        if not isinstance(evaluate, dict) or not isinstance(prompts, dict):
            return values
        refusals = evaluate.get("refusals", {})
        found = values | {"evaluate": evaluate | {"refusals": refusals}}
        if isinstance(refusals, dict) and not refusals.get("harmful_families"):
            columns = prompts.get("columns", {})
            if isinstance(columns, dict):
                found |= {"prompts": prompts | {"columns": {"harmful": "harmful"} | columns}}
        return found

    @model_validator(mode="after")
    def _read(self) -> Self:
        harm, refusals = self.evaluate.harm, self.evaluate.refusals
        if (self.classifier is not None) != (harm is not None):
            raise ValueError(
                "classifier and evaluate.harm go together: give the model, and as evaluate.harm.labels which of its "
                "labels mean harm; or neither, and refusals alone are counted"
            )
        if refusals is None:
            raise ValueError("evaluate.refusals is null: leave it out, and refusals are told by how answers begin")
        if refusals.labels and self.classifier is None:
            raise ValueError("evaluate.refusals.labels are a classifier's, and there is none")
        return self

    @property
    def asks(self) -> Section:
        """See ``Outsider.asks``."""
        return self.evaluate


def endpoint_of(section: Section) -> OpenAI | None:
    """The endpoint that a stage with these settings asks, if it asks any."""
    asks = isinstance(section, Chat) or getattr(section, "engine", None) == "openai"
    found: OpenAI | None = getattr(section, "openai", None) if asks else None
    return found


Evaluator: TypeAlias = Annotated[Reward | Chat | Answers | Harness | Safety, Field(discriminator="kind")]
