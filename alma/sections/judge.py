"""How a judge is asked (paper section 3.3)."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from alma.prompts import JUDGE_TEMPLATE
from alma.sections.inference import Inference
from alma.sections.section import Fraction, Positive


def check_judge_template(template: str) -> None:
    """Raises ``ValueError`` unless ``template`` has ``{prompt}`` then ``{response}``, each once, and ends in text."""
    before, prompt, rest = template.partition("{prompt}")
    between, response, after = rest.partition("{response}")
    if not (prompt and response and after) or "{response}" in before + after or "{prompt}" in between + after:
        raise ValueError(
            "template must contain {prompt} and then {response}, each once, and end with the text before the rating "
            f"(such as 'Rating: [['); it is {template!r}"
        )


class Scoring(Inference):
    """What every stage that asks a judge has in common (paper section 3.3.4)."""

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


class Judge(Scoring):
    """Reads p(0..10) of every response at one position (paper section 3.3.4)."""

    max_bad_share: Fraction = 0.05
    """Fraction of unparsable judgements above which the stage fails. [ours]"""
