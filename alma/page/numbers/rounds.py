"""What a round did: the responses that were judged, the rows that were selected, the pool, what was written."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from alma.page.numbers.estimate import Estimate, Numbers, check_lengths


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


class Prompts(Numbers):
    """The pool."""

    num: int
    sizes: Annotated[tuple[int, ...], Field(min_length=1)]
    """Prompts per cluster, largest first; thinned where there are very many clusters."""
    num_clusters: int
    effective_clusters: float
    """exp of the entropy of the cluster sizes: as many equal clusters would be as diverse."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    cluster: tuple[int, ...]
    """The map: at most ``measure.MAP_POINTS`` prompts."""

    @model_validator(mode="after")
    def _of_each_prompt(self) -> Self:
        check_lengths(x=self.x, y=self.y, cluster=self.cluster)
        if len(self.sizes) > self.num_clusters:
            raise ValueError(f"sizes are of {len(self.sizes)} clusters, and num_clusters is {self.num_clusters}")
        return self


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
