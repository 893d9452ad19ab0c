"""A checkpoint on the evaluation prompts."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from alma.page.numbers.estimate import Estimate, Numbers, check_lengths


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

    @model_validator(mode="after")
    def _of_each_prompt(self) -> Self:
        if not len(self.correct) == len(self.scores) == self.num_prompts:
            raise ValueError(
                f"correct and scores are of {len(self.correct)} and {len(self.scores)} prompts, and num_prompts is "
                f"{self.num_prompts}"
            )
        return self


class BestOfN(Numbers):
    """Best-of-n on the evaluation prompts, at each of ``n``."""

    num_prompts: int
    num_samples: int
    n: tuple[int, ...]
    score: tuple[Estimate, ...]
    pick: tuple[Estimate, ...]
    any_correct: tuple[Estimate, ...]
    num_referenced: int

    @model_validator(mode="after")
    def _of_each_n(self) -> Self:
        check_lengths(n=self.n, score=self.score)
        check_lengths(pick=self.pick, any_correct=self.any_correct, n=self.n if self.pick else self.any_correct)
        return self


class Measure(Numbers):
    """One measure of an evaluation (``alma.artifact.measures``), over its prompts."""

    name: str
    value: float
    error: float | None
    """Standard error of the mean over prompts; ``None`` of one prompt."""
    num: int
