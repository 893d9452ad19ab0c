"""The page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alma.sections.section import QUIET, Positive, Section, Seed

PageSection = Literal[
    "quality",
    "length",
    "outside",
    "best_of_n",
    "judge",
    "selection",
    "prompts",
    "comparison",
    "imitation",
    "training",
    "cost",
]
"""The sections that a page can have; ``alma.page`` draws each."""


class Report(Section):
    """One cumulative page."""

    title: str = "Report"
    """Heading of the page. Every method has a default of its own."""

    about: str = ""
    """What was run, in a few words: the page's first sentence begins with them. Every method has a default of its own;
    empty = the title."""

    sections: tuple[PageSection, ...] = ("quality", "length", "training", "cost")
    """Sections of the page, in their order. Every method has a default of its own. With "comparison" the page's head
    compares arms, else it tells how quality changed from point to point."""

    label: str = ""
    """The name of this point on the page's time axis ("round 03"); set by the recipe."""

    round: Annotated[int, Field(ge=0)] = 0
    """The round this page ends with; set by the recipe."""

    arm: Annotated[str, QUIET] = ""
    """What is compared: the name of this point's method ("isara 2", "sft"). Set by the recipe of a comparison; points
    of one arm are its repeats."""

    repeat: Annotated[int | None, QUIET] = None
    """Which repeat of the arm this is: the seed that all its randomness follows from. Set by the recipe."""

    num_samples_shown: Positive = 200
    """Prompts of each round in the sample browser."""

    seed: Seed = 0
    """Picks the samples that are shown."""
