"""Engines: one library per file behind six small protocols.

=========  =============================  ==========================================
protocol   does                           implemented by
=========  =============================  ==========================================
Generator  text → sampled continuations   ``vllm``, ``hf``, ``openai``, ``echo``
Scorer     rating prompts → p(0..10)      ``vllm``, ``hf``, ``openai``, ``echo``
Embedder   text → vectors                 ``vllm``, ``hf``, ``echo``
Trainer    rows → a new model             ``trl``, ``echo``
Classifier text → p(label)                ``hf``, ``echo``
Reference  pairs → log-probabilities      ``hf``, ``echo``
=========  =============================  ==========================================

Axes: P prompts, N samples of one prompt, T tokens, D dimensions, R the eleven ratings, L labels.
The libraries are imported when an engine is loaded, never before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from alma.artifact.records import RATINGS
from alma.engines.checkpoints import NOWHERE, Remote
from alma.errors import ConfigError
from alma.sections import Finetune, Inference, Reference, Sampling, Scoring

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    ``num_tokens`` counts the tokens that were generated, the end token included; ``ended`` says whether the end token
    or a stop text came before the limit. ``text`` holds neither.
    """

    text: str
    num_tokens: int
    ended: bool


TOO_LONG = Completion(text="", num_tokens=0, ended=False)
"""Of a text that leaves no room in the context. Whatever was generated has at least one token."""


class Loaded(Protocol):
    """A model in memory; leave the ``with`` block and its memory is given back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


LoadedT = TypeVar("LoadedT", bound=Loaded)


@contextmanager
def when_asked(load: Callable[[], LoadedT]) -> Iterator[Callable[[], LoadedT]]:
    """Yields what loads an engine at its first call: a stage whose parts are all published needs none."""
    loaded: list[LoadedT] = []

    def engine() -> LoadedT:
        if not loaded:
            loaded.append(load())
            stack.enter_context(loaded[0])
        return loaded[0]

    with ExitStack() as stack:
        yield engine


class Generator(Loaded, Protocol):
    """Samples continuations."""

    def chat(self, prompt: str) -> str:
        """The text that asks this model for the answer to ``prompt``: its chat template, generation prompt added."""

    def generate(
        self,
        texts_P: Sequence[str],
        seeds_PN: Sequence[Sequence[int]],
        sampling: Sampling | None,
        *,
        max_new_tokens: int,
        stop: Sequence[str] = (),
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> list[list[Completion]]:
        """Continues each text once per seed.

        ``sampling=None`` is greedy (then each text has one seed, which is not used). A sample depends on its text, its
        seed and the model only: not on order, neighbours or sharding. ``on_tokens`` hears of every token generated.
        A special token inside the text, or its spelling, cuts it there, unended: model text is put into later prompts.
        A text that leaves no room in the context is answered by ``TOO_LONG``. What follows one another without a pause
        is asked by ``alma.engines.stream``.
        """


@dataclass(frozen=True, slots=True)
class Rating:
    """What the judge says of one response: ``probs_R`` sums to 1; ``mass`` is what the scale had before that.

    ``mass`` is 0 (and ``probs_R`` uniform) for a rating prompt that is too long to read.
    """

    probs_R: tuple[float, ...]
    mass: float


UNREADABLE = Rating(probs_R=(1 / len(RATINGS),) * len(RATINGS), mass=0.0)
"""Of a rating prompt that is too long to read."""


class Scorer(Loaded, Protocol):
    """Reads the rating distribution at one position (paper section 3.3.4)."""

    def score(
        self,
        prefixes_P: Sequence[str],
        suffixes_PN: Sequence[Sequence[str]],
        *,
        max_tokens: int,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> list[list[Rating]]:
        """Rates ``prefix + suffix`` for every suffix of every prefix; the prefix is computed once per prompt."""


class Embedder(Loaded, Protocol):
    """Turns texts into vectors."""

    def embed(self, texts_P: Sequence[str], *, max_tokens: int) -> Floats:
        """Mean of the last hidden layer over each text's tokens, not yet normalised: (P, D) float64."""


class Classifier(Loaded, Protocol):
    """Gives texts labels."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of the labels, in their order."""

    @property
    def independent(self) -> bool:
        """Whether each label has a probability of its own; else those of all labels sum to 1."""

    def classify(
        self, texts_P: Sequence[str], *, max_tokens: int, on_tokens: Callable[[int], None] = lambda _: None
    ) -> list[list[float] | None]:
        """Each label's probability, (P, L); ``None`` for a text without tokens or too long to read."""


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
        self, pairs_P: Sequence[tuple[str, str, str]], *, on_tokens: Callable[[int], None] = lambda _: None
    ) -> list[PairLogprobs | None]:
        """Of (prompt, chosen, rejected), tokenized as in training; ``None`` for a pair that training sets aside."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a trainer needs besides its section.

    ``rows`` has columns by objective: sft ``prompt, response``; dpo ``prompt, chosen, rejected``; judge ``prompt,
    response, target`` where ``target`` is the wanted p(0..10) as a list of 11 floats. ``model`` is the folder to start
    from, ``out`` the folder to write (safetensors, config, tokenizer, chat template), ``scratch`` a folder that is kept
    between attempts and holds checkpoints, ``remote`` where they outlive this machine. ``on_step(step, total_steps,
    metrics)`` hears of every optimizer step, ``metrics`` holding at least ``loss``, ``learning_rate``, ``tokens``;
    ``stopping()`` turns true when the process was asked to stop: write a checkpoint, then raise
    ``alma.errors.Stopped``. ``reference`` is of dpo, one per row; without it the trainer computes its own.
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


_GENERATORS = {
    "vllm": "alma.engines.vllm.replicas:generator",
    "hf": "alma.engines.hf.generate:HfGenerator",
    "openai": "alma.engines.openai.generate:OpenaiGenerator",
    "echo": "alma.engines.echo:EchoGenerator",
}
_SCORERS = {
    "vllm": "alma.engines.vllm.replicas:scorer",
    "hf": "alma.engines.hf.score:HfScorer",
    "openai": "alma.engines.openai.score:OpenaiScorer",
    "echo": "alma.engines.echo:EchoScorer",
}
_EMBEDDERS = {
    "vllm": "alma.engines.vllm.replicas:embedder",
    "hf": "alma.engines.hf.embed:HfEmbedder",
    "echo": "alma.engines.echo:EchoEmbedder",
}
_CLASSIFIERS = {
    "vllm": "alma.engines.hf.classify:HfClassifier",  # vLLM stands on transformers, and a classifier decodes nothing
    "hf": "alma.engines.hf.classify:HfClassifier",
    "echo": "alma.engines.echo_classify:EchoClassifier",
}
_REFERENCES = {
    "hf": "alma.engines.hf.reference:HfReference",
    "echo": "alma.engines.echo_reference:EchoReference",
}
_TRAINERS = {"trl": "alma.engines.trl.train:TrlTrainer", "echo": "alma.engines.echo:EchoTrainer"}


def load_generator(cfg: Inference, model: Path) -> Generator:
    """Loads the model in folder ``model`` for generation with the engine that ``cfg`` names."""
    generator: Generator = _engine(_GENERATORS, cfg.engine, "generate")(cfg, model)
    return generator


def load_scorer(cfg: Scoring, model: Path) -> Scorer:
    """Loads the judge in folder ``model``."""
    scorer: Scorer = _engine(_SCORERS, cfg.engine, "score")(cfg, model)
    return scorer


def load_embedder(cfg: Inference, model: Path) -> Embedder:
    """Loads the model in folder ``model`` for embedding."""
    embedder: Embedder = _engine(_EMBEDDERS, cfg.engine, "embed")(cfg, model)
    return embedder


def load_classifier(cfg: Inference, model: Path) -> Classifier:
    """Loads the sequence classifier in folder ``model``."""
    classifier: Classifier = _engine(_CLASSIFIERS, cfg.engine, "classify")(cfg, model)
    return classifier


def load_reference(cfg: Reference, model: Path) -> ReferenceModel:
    """Loads the model in folder ``model`` as DPO's reference."""
    reference: ReferenceModel = _engine(_REFERENCES, cfg.engine, "read preference pairs")(cfg, model)
    return reference


def load_trainer(name: str) -> Trainer:
    """The trainer of that name."""
    trainer: Trainer = _engine(_TRAINERS, name, "train")()
    return trainer


def _engine(table: dict[str, str], name: str, verb: str) -> Callable[..., Any]:
    if name not in table:
        raise ConfigError(f"engine = {name!r} cannot {verb}; those that can: {', '.join(sorted(table))}")
    module, _, attribute = table[name].partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return loaded
