"""Examples before evaluation prompts: the in-context baselines of ISARA (arXiv 2401.06785, section 4).

Chosen as ``imitate`` chooses the shots of an answer. Axes: P prompts, K examples before each.
"""

from __future__ import annotations

from collections.abc import Sequence

from alma.artifact import Model, Rows
from alma.engines import EmbedRequest, ask, load_embedder
from alma.errors import ConfigError
from alma.prompts.conversation import first_exchange, questions
from alma.sections import Evaluate
from alma.seeds import sample_seed
from alma.text.shots import DataSet, Shot, draw, nearest

TURNS = ("earlier", "prompt")
"""The columns of a conversation; rows that a model wrote have single prompts alone."""


def examples(shots: Rows) -> DataSet:
    """Rows of people or of models as examples; of a conversation its first exchange, which can be understood alone."""
    rows = shots.table([name for name in ("id", *TURNS, "response") if name in shots.columns]).to_pylist()
    return DataSet(Shot(row["id"], *first_exchange(row)) for row in rows)


def all_questions(shots: Rows) -> list[str]:
    """Everything that these rows ask, in conversations too."""
    rows = shots.table([name for name in TURNS if name in shots.columns]).to_pylist()
    return [text for row in rows for text in questions(row)]


def check_examples(cfg: Evaluate, prompts: Rows, shots: Rows | None) -> None:
    """Raises ``ConfigError`` where the examples that ``cfg`` asks for are not there, before any work.

    Neither can they be bare turns before a conversation.
    """
    if cfg.shots == "none":
        return
    if cfg.form == "turns":
        num_talks = len(prompts) - prompts.table(["earlier"])["earlier"].null_count
        if num_talks:
            raise ConfigError(
                f'evaluate.form = "turns" writes bare questions and answers, and {num_talks} of {len(prompts)} prompts '
                f'({prompts.ref}) stand in conversations: set form = "chat", or ingest them with turns = "first"'
            )
    if shots is None:
        raise ConfigError(f'evaluate.shots = "{cfg.shots}" needs the input shots: the rows that examples come from')
    if len(shots) < cfg.num_shots:
        raise ConfigError(
            f"evaluate.num_shots = {cfg.num_shots} and {shots.ref} holds {len(shots)} rows; lower it or bring more rows"
        )


def choose(cfg: Evaluate, model: Model, prompts_P: Sequence[str], among: DataSet) -> list[list[Shot]]:
    """The examples of each prompt, in the order in which they are shown; of a conversation the prompt is the first one.

    So the first turn of a conversation is asked as it is alone. Of the nearest ones, by the model's own embeddings, the
    nearest stands last. Random ones are drawn anew for each prompt, by the section's seed and the prompt's text. An
    example that asks the prompt itself is left out.
    """
    if cfg.shots == "none":
        return [[] for _ in prompts_P]
    if cfg.shots == "random":
        seeds = [sample_seed(cfg.seed, "examples", prompt) for prompt in prompts_P]
        return [draw([among], cfg.num_shots, seed, prompt) for seed, prompt in zip(seeds, prompts_P, strict=True)]
    with load_embedder(cfg, model.folder) as embedder:
        vectors_PD = ask(embedder, EmbedRequest(prompts_P, cfg.embedding_tokens))
        vectors_SD = ask(embedder, EmbedRequest([shot.question for shot in among.shots], cfg.embedding_tokens))
    return nearest([among], [vectors_SD], cfg.num_shots, prompts_P, vectors_PD)
