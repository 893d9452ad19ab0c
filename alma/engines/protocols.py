"""What an engine is: one method for what is generated, rated or embedded, and protocols for the rest.

Axes: P prompts or conversations, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from alma.engines.checkpoints import NOWHERE, Remote
from alma.engines.requests import (
    Answered,
    AnswerT_co,
    Completion,
    EmbedRequest,
    Floats,
    GenerateRequest,
    Mark,
    OnTokens,
    Rating,
    ScoreRequest,
)
from alma.engines.reward_text import Conversation
from alma.prompts.conversation import Message
from alma.sections import Finetune

RequestT_contra = TypeVar("RequestT_contra", contravariant=True)


class Loaded(Protocol):
    """A model in memory; leave the ``with`` block and its memory is given back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Engine(Loaded, Protocol[RequestT_contra, AnswerT_co]):
    """A model that answers requests. ``alma.engines.ask`` is for a single one."""

    def answer(
        self, requests: Iterable[RequestT_contra | None], *, on_tokens: OnTokens
    ) -> Iterator[Answered[AnswerT_co]]:
        """Answers every request, each as soon as it is whole; the next is taken when there is room for it.

        So a request enters while the stragglers of earlier ones still run, and answers may come in another order.
        ``None`` among the requests says that there is none at the moment, while some are not answered yet.
        ``on_tokens`` hears of every token that is computed. What ``requests`` or ``on_tokens`` raises ends it, and what
        still runs is taken back.
        """


class Generator(Engine[GenerateRequest, list[list[Completion]]], Protocol):
    """Samples continuations."""

    def chat(self, prompt: str, earlier: Sequence[Message] = ()) -> str:
        """The text that asks this model for the answer to ``prompt``: its chat template, generation prompt added.

        ``earlier`` are the turns of the conversation before it; a model whose chat template does not write them raises
        ``DataError``. With it comes what the template writes before every answer; where the model writes it, or what
        stands before its end token, it is taken off the continuation of that text.
        """

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        """The stop texts of an answer: what the chat template, and that rating prompt, write around answers.

        A model without an end token's habit goes on with the next turn; one that has read ratings may write its own.
        See ``alma.prompts.markers``.
        """


class Streamer(Generator, Protocol):
    """A generator that tells an answer as it grows."""

    def room(self, text: str) -> int | None:
        """Tokens that the model's context leaves for an answer to ``text``; ``None`` where it has no border."""

    def stream(self, request: GenerateRequest) -> Iterator[Completion]:
        """Continues one text for one seed; yields the answer so far after every token, the whole one last.

        Each begins with the one before, whose text is certain: nothing in it is half a character, or may turn out to
        be a part of a marker. Where texts end an answer, the white space before them is taken off, as
        ``alma.engines.continuation.answer_text`` does. The whole answer is that of ``answer``, but that nothing is
        generated behind a special token any more.
        """


Scorer: TypeAlias = Engine[ScoreRequest, list[list[Rating]]]
"""Reads the rating distribution at one position (paper section 3.3.2)."""

Embedder: TypeAlias = Engine[EmbedRequest, Floats]
"""Turns texts into vectors."""


class Classifier(Loaded, Protocol):
    """Gives texts labels."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of the labels, in their order."""

    @property
    def independent(self) -> bool:
        """Whether each label has a probability of its own; else those of all labels sum to 1."""

    def classify(
        self, texts_P: Sequence[str], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[list[float] | None]:
        """Each label's probability, (P, L); ``None`` for a text without tokens or too long to read."""


class RewardModel(Loaded, Protocol):
    """Gives responses a scalar reward (arXiv 2009.01325, section 3.3): higher is better, and the scale is its own."""

    def reward(
        self, conversations_P: Sequence[Conversation], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[float | None]:
        """The raw reward of each conversation's last response; ``None`` for one too long to read."""


class Examiner(Loaded, Protocol):
    """Exams that are ready to be held: tasks and their data are there when it is made, and no model is loaded yet."""

    def hold(self, name: str, model: Path, *, on_requests: Callable[[int], None] = lambda _: None) -> list[Mark]:
        """What the model in folder ``model``, the same for all names, reaches in the tasks of ``name``.

        ``on_requests`` hears of requests as they are answered; what it raises ends the work.
        """


@dataclass(frozen=True, slots=True)
class PairLogprobs:
    """Log-probabilities of a preference pair's two responses, end tokens included, given the prompt; in nats.

    ``digest`` is of all token ids that were read: a training on other tokens cannot use these numbers.
    """

    chosen: float
    rejected: float
    digest: str


class ReferenceModel(Loaded, Protocol):
    """DPO's reference model (arXiv 2305.18290)."""

    def read(
        self, pairs_P: Sequence[Mapping[str, Any]], *, on_tokens: OnTokens = lambda _: None
    ) -> list[PairLogprobs | None]:
        """Of rows as DPO trains on them (``alma.objectives``), tokenized as there; ``None`` for what it sets aside."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a trainer needs besides its section.

    ``rows`` has the columns that its objective says (``alma.objectives``). ``model`` is the folder to start from,
    ``out`` the folder to write (safetensors, config, tokenizer, chat template), ``scratch`` a folder that is kept
    between attempts and holds checkpoints, ``remote`` where they outlive this machine. ``on_step(step, total_steps,
    metrics)`` hears of every optimizer step, ``metrics`` holding at least ``loss``, ``learning_rate``, ``tokens``;
    ``stopping()`` turns true when the process was asked to stop: write a checkpoint, then raise
    ``alma.errors.Stopped``. ``reference`` is for an objective that reads it, one per row; without it the trainer
    computes its own.
    """

    model: Path
    rows: Sequence[dict[str, Any]]
    out: Path
    scratch: Path
    on_step: Callable[[int, int, dict[str, float]], None] = lambda *_: None
    stopping: Callable[[], bool] = lambda: False
    remote: Remote = NOWHERE
    reference: Sequence[PairLogprobs | None] | None = None


class Trainer(Protocol):
    """Trains a model from a checkpoint, resuming from ``scratch`` where it holds a whole checkpoint."""

    def train(self, cfg: Finetune, training: Training) -> dict[str, float | int]:
        """Returns metrics: ``num_rows, num_steps, num_tokens, num_too_long, first_loss, last_loss``."""
