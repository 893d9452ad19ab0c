"""A round's responses, and what becomes of their judgements (paper section 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from alma.prompts import JUDGE_TEMPLATE
from alma.sections.inference import Inference, Sampling
from alma.sections.section import HOW, QUIET, Positive, Samples, Section


class Respond(Inference):
    """Samples N responses to each prompt, in equal shares over a pool of checkpoints (paper section 3.2)."""

    num_samples: Samples = 200
    """N, responses per prompt over all checkpoints. [P 3.2]"""

    num_prompts: Positive | None = 50_000
    """K, prompts per round; ``None`` = every prompt there is. [P 3.1]"""

    first_prompt: Annotated[int, Field(ge=0)] = 0
    """Where in the draw order this round begins; set by the recipe."""

    sampling: Sampling = Sampling()
    """[ours]"""

    judge_template: Annotated[str, QUIET] = JUDGE_TEMPLATE
    """Rating prompt of the judge that will read the responses: what it writes around them ends one, as what the chat
    template writes does; set from the judge's. [ours]"""

    seed: int = 0
    """Seed of the sampling; set from the run's seed when the recipe runs."""


class Select(Section):
    """Turns judgements into training rows (paper section 3.2)."""

    score: Literal["real", "integer", "risk_averse"] = "real"
    """How a judgement is read: Σ k·p(k) [P 3.3.2]; argmax p(k); mean - ``risk`` · std (arXiv 2503.03064)."""

    risk: Annotated[float, Field(ge=0)] = 1.0
    """λ of the risk-averse score. [ours]"""

    length_tolerance: Annotated[float, Field(ge=0)] | None = None
    """Among responses within this many points of the best, take the shortest (arXiv 2407.19594): as the one that is
    trained on, or as the chosen side of a pair with the best. ``None`` = off [P]."""

    require_end: bool = True
    """Leave out responses that the token limit cut off: trained on, they would teach to stop in mid-sentence. [ours]"""

    pairs: Literal["best_vs_random", "best_vs_worst", "ordered_pair"] | None = None
    """``None`` best-of-n SFT [P 3.2]; else preference pairs for DPO [P 5.3]."""

    round: Annotated[Positive, Field(lt=2**31)] = 1
    """The round these rows belong to; set by the recipe."""

    part_rows: Annotated[Positive, HOW] = 65536
    """Rows per part."""

    seed: int = 0
    """Breaks ties and draws the random side of pairs; set from the run's seed when the recipe runs."""

    @model_validator(mode="after")
    def _tolerance(self) -> Select:
        if self.pairs == "ordered_pair" and self.length_tolerance is not None:
            raise ValueError(
                f"length_tolerance = {self.length_tolerance:g} looks for the shortest near the best response, and "
                "pairs = 'ordered_pair' takes two random ones in their order; leave length_tolerance out, or set "
                "pairs = 'best_vs_random' or 'best_vs_worst'"
            )
        return self

    @property
    def makes(self) -> Literal["example", "preference"]:
        """The schema (``alma.artifact.records``) of the rows that are made."""
        return "preference" if self.pairs else "example"
