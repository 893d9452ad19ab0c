"""Where what comes from outside lies: rows that people wrote, a base model."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from alma.sections.imitate import Turns
from alma.sections.likeness import Likeness
from alma.sections.section import HOW, QUIET, Fraction, Positive, Section

TEMPLATE_DATE = datetime.date(2024, 7, 26)
"""What day it is in every rendering, where nothing else is said: the one that Llama 3's templates fall back to."""


class Ingest(Section):
    """Where something from outside comes from. Rows come from ``rows``, models from ``IngestModel``."""

    source: str
    """A path (relative to the run file), ``s3://bucket/key``, or ``hf://owner/name`` on the Hugging Face Hub."""

    revision: str | None = None
    """The commit of a ``hf://`` source; required there, so that a run means the same next month."""


class IngestRows(Ingest):
    """Rows that people wrote: JSONL, JSON, CSV, Parquet, or a Hub data set."""

    kind: Literal["pairs", "scores", "prompts"]
    """``pairs`` prompt + response; ``scores`` prompt + response + human score; ``prompts`` for evaluation."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Our column → theirs; dots reach into nested values (``score = "meta.rating"``). A column that holds conversations
    is read by the roles of their turns (``prompt = "messages"``)."""

    turns: Annotated[Literal["first", "all"], QUIET] = "first"
    """What of a conversation is a row: its first exchange alone, or ``all`` of it. Then the prompt is the user's last
    turn, and the answer to it is what is learnt, or what the score is of. Prompts to evaluate with end with the user;
    of two turns of the user's in a row the model answers the first one itself. [ours]"""

    system_turn: Annotated[Literal["keep", "prepend", "omit"] | None, QUIET] = None
    """What becomes of a conversation's system turn: ``keep`` leaves it one, which the chat template has to write;
    ``prepend`` sets it before the first prompt, with an empty line between; ``omit`` leaves it out. ``None`` = ``keep``
    with ``turns = "all"``; else a row with one is unusable, unless ``columns`` point past it by place. [ours]"""

    split: str = "train"
    """Split of a Hub data set."""

    limit: Positive | None = None
    """Keep the first this many rows after de-duplication (the paper takes 5,000 SFT seeds, section 4.1)."""

    overlap: Annotated[Literal["refuse", "drop", "keep"], QUIET] = "refuse"
    """What becomes of prompts of a held-out set (evaluation prompts, held-out scores) that are trained on as well:
    ``refuse`` stops before any work where one is there word for word, and counts what is nearly so; ``drop`` leaves out
    both; ``keep`` counts both. [ours]"""

    likeness: Annotated[Likeness | None, QUIET] = None
    """When a held-out prompt is one of those; set by the recipe from ``curate``. ``None`` = not looked at."""

    max_bad_share: Fraction = 0.0
    """Fraction of unusable rows up to which they are set aside and counted; above it the stage fails. [ours]"""

    max_missing_share: Annotated[Fraction, QUIET, HOW] = 0.0
    """Of a comparator's answers: the fraction of the evaluation prompts that may have none; set by the recipe."""


class IngestTasks(Ingest):
    """A folder of lm-eval's tasks: its YAML, and the data beside it. It is code, and so never of the Hub."""

    kind: Literal["tasks"] = "tasks"
    """Says that this source is such a folder."""


class IngestModel(Ingest):
    """A base model as Hugging Face lays it out: safetensors, config, tokenizer."""

    kind: Literal["model"] = "model"
    """Says that this source is a model."""

    chat_template: str | None = None
    """Jinja chat template for a model that has none. ``None`` = keep the model's; if it has none, turns are written by
    the special tokens for it that its vocabulary has (Llama 3's headers, ChatML's), else in plain text. [ours]"""

    turns: Annotated[Turns | None, QUIET] = None
    """Turns that the chat template is made of, in the place of any other: what a model is trained on and asked in is
    then written as the examples that it is shown; set by ISARA's ``form``."""

    task: Annotated[Literal["generation", "classification", "embedding", "reward"], QUIET] = "generation"
    """``classification`` for a model that gives texts labels (``evaluate``'s classifier), ``embedding`` for a
    sentence-transformers model; these need no chat template. ``reward`` for a reward model: a classifier with one
    label, which reads conversations by its own chat template and is given none by itself."""

    date: Annotated[str, QUIET] = TEMPLATE_DATE.isoformat()
    """The day, as 2024-07-26, that a chat template is told which writes today's: the result never depends on the clock.
    It is written into the template, and so goes with the models that are trained from this one. [ours]"""

    @field_validator("date", mode="before")
    @classmethod
    def _date(cls, value: Any) -> str:
        try:
            return datetime.date.fromisoformat(str(value)).isoformat()
        except ValueError as error:
            raise ValueError(f"{value!r} is no day; write it as 2024-07-26") from error

    @property
    def day(self) -> datetime.date:
        """``date`` as a value."""
        return datetime.date.fromisoformat(self.date)

    @model_validator(mode="after")
    def _template(self) -> Self:
        if self.task not in ("generation", "reward") and self.day != TEMPLATE_DATE:
            raise ValueError(f"date has no use with task = {self.task!r}; leave it out")
        if self.turns is not None and (self.task != "generation" or self.chat_template is not None):
            raise ValueError("turns make a chat template: leave them out, or chat_template and task")
        if self.task not in ("generation", "reward") and self.chat_template is not None:
            raise ValueError(f"chat_template has no use with task = {self.task!r}; leave it out")
        return self
