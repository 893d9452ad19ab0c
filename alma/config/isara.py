"""The settings of ISARA: the root ``[isara]`` of a run file.

[C] is read in the authors' public code; [ours] where it and the paper are silent, or a review asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from alma.config.method import MAX_ROUNDS, Method
from alma.objectives import policy_objectives
from alma.sections import (
    Evaluate,
    Finetune,
    Imitate,
    IngestModel,
    IngestRows,
    Positive,
    Report,
    Section,
)
from alma.sections.imitate import MOST_ATTEMPTS

TWO_FORMS = "models are trained and asked in the base's chat template, and write their own data after bare turns"
"""What is said of ``form = "chat"``."""


class Baselines(Section):
    """What ISARA has to beat, in the same run and at the same budget."""

    in_context: bool = True
    """The base model with the nearest, and with random, seeds before every evaluation prompt."""

    sft: bool = True
    """The base model trained on the seeds alone, for as many rows as all of ISARA's trainings together."""

    one_shot: bool = True
    """All attempts at once, by the base model, and one training."""


class Isara(Method):
    """The ISARA method (arXiv 2401.06785), with the baselines that its reviewers asked for."""

    root = "isara"
    title = "ISARA (arXiv 2401.06785)"
    sources: ClassVar[Mapping[str, str]] = {
        "base": "model",
        "seeds": "pairs",
        "evaluation_prompts": "prompts",
        "score_seeds": "scores",
        "classifier": "model",
        "embedder": "model",
    }
    inference = ("imitate", "evaluate")
    trained = inference
    training = ("train", "judge_seed")

    iterations: Annotated[Positive, Field(le=MAX_ROUNDS)] = 2
    """T. [C]"""

    repeats: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3)
    """Everything random is done again for each of these, so that the table has error bars. [ours]"""

    start: Literal["latest", "base"] = "latest"
    """Every iteration's training continues from the last model [C], or begins at the base model."""

    learning_rate_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Factor on the learning rate from one iteration to the next. [C]"""

    form: Literal["turns", "chat"] = "turns"
    """What models are trained on and asked in. ``turns`` = the bare turns of the shots, whatever chat template the base
    has [C]; ``chat`` = the base's chat template, which differs from the shots, so that the page says so. [ours]"""

    baselines: Baselines = Baselines()

    base: IngestModel
    """The base model, M0."""

    seeds: IngestRows
    """Questions with answers of one domain, written by people: 64. [C]"""

    evaluation_prompts: IngestRows
    """Held-out questions; better of another set than the seeds."""

    score_seeds: IngestRows | None = None
    """Responses with human scores 0..10: trains a judge, for ``imitate.num_answers`` above 1 and for evaluation."""

    classifier: IngestModel | None = None
    """A model that tells harmful answers, for the harmful rate."""

    embedder: IngestModel | None = None
    """A sentence-transformers model, for ``imitate.embedding = "sentence-transformers"``."""

    imitate: Imitate = Imitate()
    train: Finetune = Finetune(epochs=1, batch_rows=32, learning_rate=2e-5, max_tokens=2048)
    """One epoch, 32 rows a step, 2e-5 halved every iteration, cosine with 3 % warm-up, answer tokens only. [C]"""

    judge_seed: Finetune = Finetune(objective="judge")
    evaluate: Evaluate = Evaluate()
    report: Report = Report(
        title="ISARA",
        about="ISARA, self-alignment from a few examples (arXiv 2401.06785), beside its baselines",
        sections=("comparison", "imitation", "training", "cost"),
    )

    @property
    def length(self) -> str:
        """See ``Method.length``."""
        return f"{self.iterations} iterations, {len(self.repeats)} repeats"

    @classmethod
    def shared(cls, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """See ``Method.shared``: also the rating prompt, and how shots are shown."""
        found = super().shared(values)
        found["classifier"]["task"] = "classification"
        found["embedder"]["task"] = "embedding"
        template = _of(values, "imitate", "template")
        if template is not None:
            found["judge_seed"]["template"] = found["evaluate"]["template"] = template
        for name in ("turns", "num_shots"):
            given = _of(values, "imitate", name)
            if given is not None:
                found["evaluate"][name] = given
        if values.get("form", "turns") == "chat":
            found["report"]["about"] += f"; {TWO_FORMS}"
        elif _of(values, "base", "chat_template") is None:
            turns = _of(values, "imitate", "turns")
            found["base"]["turns"] = {} if turns is None else turns
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``Method.notes``."""
        return (TWO_FORMS,) if self.form == "chat" else ()

    @model_validator(mode="before")
    @classmethod
    def _no_outsiders(cls, values: Any) -> Any:
        if isinstance(values, dict) and "evaluators" in values:
            raise ValueError(
                "evaluators: ISARA has none, as no judge is optimised in it that they could unmask. Its arms are "
                "compared by references, by isara.classifier with evaluate.harm, by evaluate.refusals and by the judge "
                "that isara.score_seeds train; evaluators belong to [alma]"
            )
        return values

    @model_validator(mode="after")
    def _over_iterations(self) -> Isara:
        smallest = self.train.learning_rate * self.learning_rate_decay ** (self.iterations - 1)
        if smallest == 0.0:
            raise ValueError(
                f"learning_rate_decay = {self.learning_rate_decay:g} over {self.iterations} iterations leaves nothing "
                f"of train.learning_rate = {self.train.learning_rate:g}: raise the first, such as to 0.5"
            )
        if self.baselines.one_shot and self.iterations * self.imitate.num_attempts > MOST_ATTEMPTS:
            raise ValueError(
                f"iterations × imitate.num_attempts = {self.iterations} × {self.imitate.num_attempts} is above "
                f"{MOST_ATTEMPTS:,}, and the one-shot baseline asks for so many: lower the second"
            )
        return self

    @model_validator(mode="after")
    def _possible(self) -> Isara:
        if len(set(self.repeats)) < len(self.repeats):
            raise ValueError(f"repeats = {list(self.repeats)} has one twice; it would be the same run")
        if self.iterations > self.imitate.num_shots:
            raise ValueError(
                f"iterations = {self.iterations} is above imitate.num_shots = {self.imitate.num_shots}: iteration t "
                "shows one shot of each earlier one and at least one seed; lower the first or raise the second"
            )
        if self.imitate.num_answers > 1 and self.score_seeds is None:
            raise ValueError(
                f"imitate.num_answers = {self.imitate.num_answers} needs a judge to choose, and so score_seeds to "
                "train it; give them, or set num_answers = 1"
            )
        if (self.imitate.embedding == "sentence-transformers") != (self.embedder is not None):
            raise ValueError(
                f'imitate.embedding = "{self.imitate.embedding}" and embedder '
                f"{'is given' if self.embedder else 'is not given'}: they go together"
            )
        if (self.classifier is not None) != (self.evaluate.harm is not None):
            raise ValueError(
                "classifier and evaluate.harm go together: give the model, and as evaluate.harm.labels which of its "
                "labels mean harm"
            )
        if self.form == "turns" and self.base.chat_template is not None:
            raise ValueError(
                "base.chat_template is given, and form = 'turns' trains and asks in imitate.turns, as the shots are "
                "written: leave it out, or set form = 'chat'"
            )
        if self.base.turns != (self.imitate.turns if self.form == "turns" else None):
            raise ValueError("base.turns follows from form and imitate.turns: leave it out")
        for name in ("seeds", "evaluation_prompts"):
            rows: IngestRows = getattr(self, name)
            kept = "turns = 'all'" if rows.turns == "all" else "system_turn = 'keep'"
            if rows.turns == "all" or rows.system_turn == "keep":
                raise ValueError(
                    f"{name}: {kept} keeps conversations, and ISARA shows and asks single questions: leave it out, and "
                    "first exchanges are read (system_turn = 'prepend' writes a system turn before the question)"
                )
        fitting = policy_objectives("imitation")
        if self.train.objective not in fitting:
            raise ValueError(f"train.objective = {self.train.objective!r}: ISARA trains with {' or '.join(fitting)}")
        if self.score_seeds is not None and self.judge_seed.template != self.imitate.template:
            raise ValueError("judge_seed.template differs from imitate.template: set the latter alone")
        return self


def _of(values: Mapping[str, Any], section: str, name: str) -> Any:
    """A setting that was written, or ``None``."""
    given = values.get(section)
    return given.get(name) if isinstance(given, dict) else None
