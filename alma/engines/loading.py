"""Which class stands behind an engine's name, and loading it; its library is imported then and never before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alma.engines.importing import imported
from alma.engines.protocols import (
    Classifier,
    Embedder,
    Examiner,
    Generator,
    Loaded,
    ReferenceModel,
    RewardModel,
    Scorer,
    Streamer,
    Trainer,
)
from alma.errors import ConfigError
from alma.sections import Harness, Inference, Judge, Reference, Scoring

_GENERATORS = {
    "vllm": "alma.engines.vllm.replicas:generator",
    "hf": "alma.engines.hf.generate:HfGenerator",
    "openai": "alma.engines.openai.generate:OpenaiGenerator",
    "echo": "alma.engines.echo.generate:EchoGenerator",
}
_STREAMERS = {"hf": "alma.engines.hf.generate:HfGenerator"}
_SCORERS = {
    "vllm": "alma.engines.vllm.replicas:scorer",
    "hf": "alma.engines.hf.score:HfScorer",
    "openai": "alma.engines.openai.score:OpenaiScorer",
    "echo": "alma.engines.echo.score:EchoScorer",
}
_EMBEDDERS = {
    "vllm": "alma.engines.vllm.replicas:embedder",
    "hf": "alma.engines.hf.embed:HfEmbedder",
    "echo": "alma.engines.echo.embed:EchoEmbedder",
}
_CLASSIFIERS = {
    "vllm": "alma.engines.hf.classify:HfClassifier",  # vLLM stands on transformers, and a classifier decodes nothing
    "hf": "alma.engines.hf.classify:HfClassifier",
    "echo": "alma.engines.echo.classify:EchoClassifier",
}
_REWARDS = {
    "vllm": "alma.engines.hf.reward:HfReward",  # as of classifiers
    "hf": "alma.engines.hf.reward:HfReward",
    "echo": "alma.engines.echo.reward:EchoReward",
}
_EXAMINERS = {
    "vllm": "alma.engines.lm_eval.examine:VllmExaminer",
    "hf": "alma.engines.lm_eval.examine:HfExaminer",
    "echo": "alma.engines.echo.examine:EchoExaminer",
}
_REFERENCES = {
    "hf": "alma.engines.hf.reference:HfReference",
    "echo": "alma.engines.echo.reference:EchoReference",
}
_TRAINERS = {"trl": "alma.engines.trl.train:TrlTrainer", "echo": "alma.engines.echo.train:EchoTrainer"}

LoadedT = TypeVar("LoadedT", bound=Loaded)


def load_generator(cfg: Inference, model: Path) -> Generator:
    """Loads the model in folder ``model`` for generation with the engine that ``cfg`` names."""
    generator: Generator = _engine(_GENERATORS, cfg.engine, "generate")(cfg, model)
    return generator


def load_streamer(cfg: Inference, model: Path) -> Streamer:
    """Loads the model in folder ``model`` for answers that are shown as they grow."""
    streamer: Streamer = _engine(_STREAMERS, cfg.engine, "stream")(cfg, model)
    return streamer


def load_scorer(cfg: Scoring, model: Path) -> Scorer:
    """Loads the judge in folder ``model``; one that writes reasons first where ``cfg`` says so."""
    if isinstance(cfg, Judge) and cfg.rationale is not None:
        from alma.engines.rationale import ReasoningScorer

        return ReasoningScorer(cfg, model)
    return load_rating(cfg, model)


def load_rating(cfg: Scoring, model: Path) -> Scorer:
    """Loads the judge in folder ``model``, to rate at once."""
    scorer: Scorer = _engine(_SCORERS, cfg.engine, "score")(cfg, model)
    return scorer


def load_embedder(cfg: Inference, model: Path) -> Embedder:
    """Loads the language model in folder ``model`` for embedding."""
    embedder: Embedder = _engine(_EMBEDDERS, cfg.engine, "embed")(cfg, model)
    return embedder


def load_sentence_embedder(cfg: Inference, model: Path) -> Embedder:
    """Loads the model in folder ``model``, which was trained to embed, with sentence-transformers."""
    from alma.engines.sentence.embed import SentenceEmbedder

    return SentenceEmbedder(cfg, model)


def load_classifier(cfg: Inference, model: Path) -> Classifier:
    """Loads the sequence classifier in folder ``model``."""
    classifier: Classifier = _engine(_CLASSIFIERS, cfg.engine, "classify")(cfg, model)
    return classifier


def load_reward(cfg: Inference, model: Path) -> RewardModel:
    """Loads the reward model in folder ``model``."""
    reward: RewardModel = _engine(_REWARDS, cfg.engine, "give rewards")(cfg, model)
    return reward


def load_examiner(cfg: Harness, folder: Path | None) -> Examiner:
    """Finds the tasks of ``cfg``, in ``folder`` first, and fetches their data."""
    examiner: Examiner = _engine(_EXAMINERS, cfg.engine, "examine")(cfg, folder)
    return examiner


def load_reference(cfg: Reference, model: Path) -> ReferenceModel:
    """Loads the model in folder ``model`` as DPO's reference."""
    reference: ReferenceModel = _engine(_REFERENCES, cfg.engine, "read preference pairs")(cfg, model)
    return reference


def load_trainer(name: str) -> Trainer:
    """The trainer of that name."""
    trainer: Trainer = _engine(_TRAINERS, name, "train")()
    return trainer


@contextmanager
def lazy(load: Callable[[], LoadedT]) -> Iterator[Callable[[], LoadedT]]:
    """Yields what loads an engine at its first call: a stage whose parts are all published needs none."""
    loaded: list[LoadedT] = []

    def engine() -> LoadedT:
        if not loaded:
            loaded.append(load())
            stack.enter_context(loaded[0])
        return loaded[0]

    with ExitStack() as stack:
        yield engine


def _engine(table: dict[str, str], name: str, verb: str) -> Callable[..., Any]:
    if name not in table:
        raise ConfigError(f"engine = {name!r} cannot {verb}; those that can: {', '.join(sorted(table))}")
    module, _, attribute = table[name].partition(":")
    loaded: Callable[..., Any] = getattr(imported(module, f"engine {name}"), attribute)
    return loaded
