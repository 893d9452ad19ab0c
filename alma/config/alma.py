"""The settings of ALMA: the root ``[alma]`` of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from alma.config.method import MAX_ROUNDS, Method
from alma.objectives import policy_objectives, with_reference
from alma.sections import (
    Curate,
    Diversify,
    Embed,
    Evaluate,
    Evaluator,
    Finetune,
    IngestModel,
    IngestRows,
    Judge,
    Outsider,
    Positive,
    Reference,
    Report,
    Respond,
    Section,
    Select,
    Synthesize,
    check_judge_template,
)
from alma.sections.judge import check_variants
from alma.sections.section import MOST_SAMPLES, QUIET, Samples


class Distill(Section):
    """The judge learns from its own scores once (paper section 3.3.3)."""

    enabled: bool = True
    """``false`` is the paper's ablation: the judge stays as its human labels made it."""

    num_prompts: Positive = 10_000
    """Pool prompts kept for this. [ours: with two responses each, the paper's 20k pairs]"""

    num_samples: Annotated[int, Field(ge=2, le=MOST_SAMPLES)] = 2
    """Responses per prompt, in equal shares from the two initial checkpoints. [ours]"""

    replay: bool = True
    """Train on the human scores again beside the judge's own, so that they are not forgotten. [ours]"""

    start: Annotated[Literal["judge", "base"], QUIET] = "judge"
    """Continue the judge that human scores made [P 3.3.3], or train the base on human and own scores together, which
    needs ``replay``. [ours]"""

    num_judges: Annotated[int, Field(ge=1, le=3), QUIET] = 1
    """Judges of the human scores, each from a seed of its own, whose readings of a response are averaged; the first is
    the one that is continued. [ours]"""

    variants: Annotated[tuple[str, ...], QUIET] = ()
    """More rating prompts whose readings are averaged, as ``Judge.variants``, for these responses only. [ours]"""

    @model_validator(mode="after")
    def _remembers(self) -> Distill:
        if self.start == "base" and not self.replay:
            raise ValueError("distill.start = 'base' with replay = false would learn no human score: leave replay out")
        return self


class BestOfNCurve(Section):
    """Best-of-n on the evaluation prompts, from the first round's pool of checkpoints."""

    enabled: bool = True
    """``false`` saves its samples."""

    num_samples: Samples = 64
    """Largest n. The paper's figure goes to 400."""


class Alma(Method):
    """The ALMA method (arXiv 2412.04305)."""

    root = "alma"
    title = "ALMA (arXiv 2412.04305)"
    sources: ClassVar[Mapping[str, str]] = {
        "base": "model",
        "sft_seeds": "pairs",
        "score_seeds": "scores",
        "heldout_scores": "scores",
        "evaluation_prompts": "prompts",
    }
    inference = ("synthesize", "embed", "respond", "judge", "evaluate")
    trained = ("respond", "judge", "evaluate")
    training = ("initial", "judge_seed", "judge_distill", "train")

    rounds: Annotated[Positive, Field(le=MAX_ROUNDS)] = 10
    """R, feedback rounds after the initial SFT; the final model is M_{R+1}. [P 3.4]"""

    judge_template: str | None = None
    """Rating prompt of every stage that does not name its own. ``None`` = the paper's, in our words."""

    pool: Literal["initial_and_latest", "latest", "initial", "one_initial"] = "initial_and_latest"
    """Checkpoints that share a round's N samples from the second feedback round (round 3) on: both initial ones and the
    latest [P 3.2], or the paper's ablations: the latest, both initial ones, one of them. The first feedback round asks
    both initial ones in any case, so that runs which differ in this alone share it."""

    start: Literal["base", "latest"] = "base"
    """Every round trains from the base model [P 3.4], or continues from the latest one."""

    data: Literal["union", "latest"] = "union"
    """Train on all rounds' rows [P 3.4], or on the latest round's only (arXiv 2408.08072)."""

    base_shots: Annotated[int, Field(ge=0)] = 3
    """Random SFT seeds before every evaluation prompt, as earlier turns, where the base model is asked a second time:
    what the gain is measured against. 0 = without examples only. [P 4: "3-shot"; how they are written is ours]"""

    base: IngestModel
    """The base model, M0."""

    sft_seeds: IngestRows
    """Prompts with responses written by people: 5,000 in the paper. [P 4.1]"""

    score_seeds: IngestRows
    """Responses with human scores 0..10: 4,000 in the paper. [P 3.3.1]"""

    heldout_scores: IngestRows | None = None
    """More of them, never trained on, to validate the judge with."""

    evaluation_prompts: IngestRows
    """Held-out prompts; those found in the pool are removed from the pool."""

    synthesize: Synthesize = Synthesize()
    curate: Curate = Curate()
    embed: Embed = Embed()
    diversify: Diversify = Diversify()
    initial: Finetune = Finetune()
    judge_seed: Finetune = Finetune(objective="judge")
    judge_distill: Finetune = Finetune(objective="judge")
    distill: Distill = Distill()
    respond: Respond = Respond()
    judge: Judge = Judge()
    base_judge_shots: Annotated[Annotated[int, Field(ge=0)] | None, QUIET] = None
    """Also validate the untrained base as a judge, with so many human scores shown before each response: 3 in the
    paper's table 2. ``None`` = do not."""

    select: Select = Select()
    reference: Reference | None = None
    """Preference pairs only, and there by itself then: it takes ``dtype`` and ``max_tokens`` from ``train``."""

    train: Finetune = Finetune()
    evaluate: Evaluate = Evaluate()
    evaluators: Annotated[tuple[Evaluator, ...], QUIET] = ()
    """Who else judges every evaluated checkpoint, beside the judge that the run optimises. None of them selects
    anything. [ours]"""

    curve: BestOfNCurve = BestOfNCurve()
    report: Report = Report(
        title="ALMA",
        about="ALMA, alignment with minimal annotation (arXiv 2412.04305)",
        sections=("quality", "length", "outside", "best_of_n", "judge", "selection", "prompts", "training", "cost"),
    )

    @property
    def outsiders(self) -> tuple[Outsider, ...]:
        """See ``Method.outsiders``."""
        return self.evaluators

    @property
    def length(self) -> str:
        """See ``Method.length``."""
        return f"{self.rounds} feedback rounds"

    @classmethod
    def shared(cls, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """See ``Method.shared``: also the rating prompt, and what pairs are trained with."""
        found = super().shared(values)
        if values.get("judge_template") is not None:
            if isinstance(values["judge_template"], str):
                check_judge_template(values["judge_template"], "judge_template")
            for name in ("judge_seed", "judge_distill", "judge", "evaluate"):
                found[name]["template"] = values["judge_template"]
        judge = values["judge"] if isinstance(values.get("judge"), dict) else {}
        template = judge.get("template", values.get("judge_template"))
        if template is not None:
            found["respond"]["judge_template"] = template
        select = values.get("select")
        pairs = select.get("pairs") if isinstance(select, dict) else None
        usual = policy_objectives("preference" if pairs else "example")[0]
        found["train"]["objective"] = usual
        train = values["train"] if isinstance(values.get("train"), dict) else {}
        if train.get("objective", usual) in with_reference():
            own = {name: train[name] for name in ("dtype", "max_tokens") if name in train}
            found["reference"] = {"engine": "echo" if values.get("engine") == "echo" else "hf", **own}
        return found

    @model_validator(mode="after")
    def _possible(self) -> Alma:
        if self.respond.num_prompts is None:
            raise ValueError("respond.num_prompts is required: K, the prompts of one round")
        k, clusters = self.respond.num_prompts, self.diversify.num_clusters
        if self.diversify.method == "kmeans" and k > clusters:
            raise ValueError(
                f"respond.num_prompts = {k} is above diversify.num_clusters = {clusters}: a round takes one prompt "
                "from each of num_prompts clusters; lower the first or raise the second"
            )
        reserve = self.distill.num_prompts
        wanted = self.rounds * k + reserve
        if wanted > self.synthesize.num_attempts:
            raise ValueError(
                f"rounds × respond.num_prompts + distill.num_prompts = {self.rounds} × {k} + {reserve} = {wanted} is "
                f"above the pool, synthesize.num_attempts = {self.synthesize.num_attempts}; prompts are never used "
                "twice"
            )
        if self.train.objective not in policy_objectives(self.select.makes):
            raise ValueError(
                f"select.pairs = {self.select.pairs!r} and train.objective = {self.train.objective!r} do not fit: "
                f"preference pairs train with {' or '.join(policy_objectives('preference'))}, best responses with "
                f"{' or '.join(policy_objectives('example'))}"
            )
        if self.respond.num_samples < 2 and self.select.pairs:
            raise ValueError("respond.num_samples must be at least 2 for preference pairs")
        if self.train.objective in with_reference():
            _check_reference(self.reference, self.train)
        for name in ("judge_seed", "judge_distill"):
            if getattr(self, name).template != self.judge.template:
                raise ValueError(f"{name}.template differs from judge.template: set judge_template once instead")
        if self.respond.judge_template != self.judge.template:
            raise ValueError("respond.judge_template differs from judge.template: set judge_template once instead")
        check_judge_template(self.judge.template)
        check_variants(self.judge.template, self.distill.variants)
        if self.judge.num_shots:
            raise ValueError(
                f"judge.num_shots = {self.judge.num_shots}: a judge that was trained is shown no examples; set "
                "base_judge_shots to show them to the base"
            )
        if self.base_judge_shots is not None and self.heldout_scores is None:
            raise ValueError("base_judge_shots is set and there are no heldout_scores to validate a judge with")
        return self


def _check_reference(reference: Reference | None, train: Finetune) -> None:
    """Raises ``ValueError`` unless the reference reads what training does, as training does."""
    if reference is None:
        raise ValueError("reference is null, and preference pairs need it: leave it out, and it is set by itself")
    for name in ("dtype", "max_tokens"):
        if getattr(reference, name) != getattr(train, name):
            raise ValueError(
                f"reference.{name} = {getattr(reference, name)!r} differs from train.{name} = "
                f"{getattr(train, name)!r}: the reference has to read what training does, as training does"
            )
