"""How a judge is asked (paper section 3.3)."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from alma.prompts import JUDGE_TEMPLATE
from alma.sections.inference import Inference, Sampling
from alma.sections.section import QUIET, Fraction, Positive, Section


def check_judge_template(template: str, setting: str = "template") -> None:
    """Raises ``ValueError`` unless ``template`` has ``{prompt}`` then ``{response}``, each once, and ends in text.

    ``setting`` is what the message calls it.
    """
    before, prompt, rest = template.partition("{prompt}")
    between, response, after = rest.partition("{response}")
    if not (prompt and response and after) or "{response}" in before + after or "{prompt}" in between + after:
        raise ValueError(
            f"{setting} must contain {{prompt}} and then {{response}}, each once, and end with the text before the "
            f"rating (such as 'Rating: [['); it is {template!r}"
        )


def check_variants(template: str, variants: tuple[str, ...]) -> None:
    """Raises ``ValueError`` unless each variant is a judge template that ends as ``template`` does, and another one."""
    end = template.partition("{response}")[2]
    for variant in variants:
        check_judge_template(variant, "variants: each")
        if variant.partition("{response}")[2] != end:
            raise ValueError(
                f"variants: after {{response}} each goes on as template does, with {end!r}, so that ratings are read "
                f"alike; this one differs: {variant!r}"
            )
    if len({template, *variants}) <= len(variants):
        raise ValueError("variants: each must be another text than template and than the others")


class Scoring(Inference):
    """What every stage that asks a judge has in common (paper section 3.3.2)."""

    template: str = JUDGE_TEMPLATE
    """Rating prompt with ``{prompt}`` and ``{response}``; ends where the rating's first digit begins. [P 3.3.1]"""

    min_mass: Fraction = 0.5
    """Probability of the scale below which a judgement is unparsable, counted and kept out. [ours]"""

    max_tokens: Positive = 8192
    """Longest rating prompt; longer ones are unparsable. [ours]"""

    @model_validator(mode="after")
    def _template(self) -> Self:
        check_judge_template(self.template)
        return self


class Rationale(Section):
    """What a judge writes about a response before it rates it (paper section 3.3.4, where it brought nothing)."""

    ask: Annotated[str, Field(min_length=1)] = "\n\n[Reasons]\n"
    """Stands between the response and what the judge writes; the end of ``template`` follows that. [ours]"""

    sampling: Sampling = Sampling(max_new_tokens=256)
    """How it is drawn. [ours]"""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, values: Any) -> Any:
        """Who sets one field of ``sampling`` keeps the length."""
        if not isinstance(values, dict) or not isinstance(values.get("sampling"), dict):
            return values
        return values | {"sampling": {"max_new_tokens": 256} | values["sampling"]}


class Judge(Scoring):
    """Reads p(0..10) of every response at one position (paper section 3.3.2)."""

    max_bad_share: Fraction = 0.05
    """Fraction of unparsable judgements above which the stage fails. [ours]"""

    variants: Annotated[tuple[str, ...], QUIET] = ()
    """More rating prompts, which differ from ``template`` before and around the prompt: each response is rated once by
    every one of them, and a judgement is the mean of these readings. [ours]"""

    num_shots: Annotated[int, Field(ge=0), QUIET] = 0
    """Rows with human scores that stand rated before each response, as examples: the untrained base as a judge. They
    are drawn at random for each prompt and never ask that prompt itself. [P, table 2: 3]"""

    rationale: Annotated[Rationale | None, QUIET] = None
    """Let the judge write reasons and read its rating behind them; ``None`` = it rates at once [P 3.3.4]. It was not
    trained to, and they are not kept. The model is in memory twice: to write and to rate."""

    shot_end: Annotated[str, QUIET] = "]]\n\n"
    """What follows the score of a row that is shown. [ours]"""

    seed: Annotated[int, QUIET] = 0
    """Draws the rows that are shown, and rationales; set from the run's seed when the recipe runs."""

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``."""
        return super().reads() | {"shot_end": self.num_shots > 0, "seed": self.draws}

    @property
    def draws(self) -> bool:
        """Whether anything is drawn at random."""
        return self.num_shots > 0 or self.rationale is not None

    @model_validator(mode="after")
    def _variants(self) -> Self:
        check_variants(self.template, self.variants)
        return self

    @model_validator(mode="after")
    def _writes(self) -> Self:
        if self.rationale is not None and self.engine == "openai":
            raise ValueError(
                "rationale with engine = 'openai': an endpoint either answers or rates; take 'hf' or 'vllm'"
            )
        if self.rationale is not None and self.engine == "vllm" and self.vllm.gpu_memory_share > 0.5:
            raise ValueError(
                f"rationale starts two vLLM engines, and vllm.gpu_memory_share = {self.vllm.gpu_memory_share} is more "
                "than half for each: set it to 0.45"
            )
        return self
