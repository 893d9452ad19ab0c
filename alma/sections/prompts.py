"""The pool of prompts: written, curated, embedded, diversified (paper section 3.1)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import field_validator, model_validator

from alma.sections.inference import Inference, Sampling
from alma.sections.likeness import Likeness
from alma.sections.section import HOW, QUIET, Fraction, Positive, Section, Seed


class Synthesize(Inference):
    """The base model writes new prompts after a few shots (paper section 3.1)."""

    num_attempts: Positive = 100_000_000
    """Prompts asked for, before de-duplication. Paper: a pool of 100M unique prompts. [P 3.1]"""

    min_shots: Positive = 3
    """Fewest seed prompts shown. [P 3.1]"""

    max_shots: Positive = 5
    """Most seed prompts shown. [P 3.1]"""

    header: str = "Here is a list of questions and requests that people sent to an assistant.\n\n"
    """Text before the first shot. [ours]"""

    item: str = "{index}. {prompt}\n\n"
    """One shot; the model continues after the part before ``{prompt}`` of the next one. [ours]"""

    stop: tuple[str, ...] = ("\n\n{next_index}.",)
    """Texts that end the new prompt; ``{next_index}`` is the number that would follow. [ours]"""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=512)
    """[ours]"""

    seed: int = 0
    """Seed of shots and sampling; set from the run's seed when the recipe runs."""

    @model_validator(mode="after")
    def _shots(self) -> Synthesize:
        if self.min_shots > self.max_shots:
            raise ValueError(f"min_shots = {self.min_shots} is above max_shots = {self.max_shots}")
        if self.item.count("{prompt}") != 1:
            raise ValueError(f"item must contain {{prompt}} exactly once, not {self.item!r}")
        if "" in self.stop:
            raise ValueError("stop holds an empty text, which would end every prompt at once: take it out")
        return self


class Curate(Likeness):
    """What becomes of the candidates: filters, duplicates, decontamination."""

    min_chars: Positive = 2
    """Shorter prompts are dropped. [ours]"""

    max_chars: Positive = 4000
    """Longer prompts are dropped. [ours]"""

    max_repetition: Fraction = 0.5
    """Largest fraction of a prompt's word 3-grams that may be repeats. [ours]"""

    pattern: str | None = None
    """Regular expression of Python's that a prompt must match in full, within ten seconds of a core. [ours]"""

    markers: tuple[str, ...] = ()
    """Texts that betray a leftover of a template; prompts that contain one are dropped. [ours]"""

    require_end: bool = True
    """Drop prompts that were cut off by the token limit. [ours]"""

    part_rows: Annotated[Positive, HOW] = 65536
    """Rows per part."""

    seed: Seed = 0
    """Seed of the MinHash permutations."""

    @model_validator(mode="after")
    def _leaves_some(self) -> Curate:
        if self.min_chars > self.max_chars:
            raise ValueError(
                f"min_chars = {self.min_chars} is above max_chars = {self.max_chars}, and no prompt could stay"
            )
        if "" in self.markers:
            raise ValueError("markers holds an empty text, which is in every prompt: take it out")
        return self

    @field_validator("pattern")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{(pattern or '')[:60]!r} is no regular expression of Python's: {error}") from error
        return pattern

    @property
    def likeness(self) -> Likeness:
        """Its part that says when two prompts are one."""
        return Likeness(**{name: getattr(self, name) for name in Likeness.model_fields})


class Embed(Inference):
    """Mean of the last hidden layer over a prompt's tokens, L2-normalised (paper section 3.1)."""

    dimensions: Positive | Literal["all"] = 256
    """Random projection to this many dimensions; ``all`` = the model's own. [ours]"""

    max_tokens: Positive = 512
    """Only the first this many tokens of a prompt are read. [ours]"""

    seed: Seed = 0
    """Seed of the projection."""


class Diversify(Section):
    """Clusters the pool and lays it out in the order in which rounds draw from it (paper section 3.1)."""

    method: Literal["kmeans", "random"] = "kmeans"
    """``kmeans`` one unused prompt from each of K clusters; ``random`` the paper's ablation. [P 3.1]"""

    num_clusters: Positive = 1_000_000
    """Clusters. Pool : clusters : K = 2000 : 20 : 1. [P 3.1]"""

    limit: Annotated[Positive | None, QUIET] = None
    """Lay out only the first this many; set by the recipe for the prompts that it keeps for the judge."""

    per_round: Positive = 50_000
    """K, prompts per round; set by the recipe."""

    part_rows: Annotated[Positive, HOW] = 4096
    """Rows per part; a round fetches only the parts it draws from."""

    seed: Seed = 0
    """Seed of k-means and of the order."""

    def reads(self) -> dict[str, bool]:
        """See ``Section.reads``: a random order knows neither clusters nor rounds."""
        return super().reads() | dict.fromkeys(("num_clusters", "per_round"), self.method == "kmeans")
