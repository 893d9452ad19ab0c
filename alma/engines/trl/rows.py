"""A training's rows as token ids, before any weights are loaded: what is wrong with them is said in seconds."""

from __future__ import annotations

from dataclasses import replace

from alma.engines.model_folder import text_config
from alma.engines.protocols import Training
from alma.engines.tokenization import Tokenized, highest_id, keep
from alma.engines.tokenizer import load_tokenizer
from alma.engines.trl.objective import load_objective
from alma.errors import DataError
from alma.sections import Finetune


def tokenize(cfg: Finetune, training: Training) -> Tokenized:
    """Sets rows aside that are longer than ``cfg.max_tokens`` or the model's context.

    Raises ``DataError`` for a model that cannot be asked so, or pairs that ``training.reference`` has not read,
    ``StageError`` if too many rows are set aside.
    """
    tokenizer, config = load_tokenizer(training.model), text_config(training.model)
    objective = load_objective(cfg.objective)
    tokens = objective.tokenize(cfg, training, tokenizer)
    limit = cfg.max_tokens + tokens.num_extra
    data = keep(cfg, tokens.rows, min(limit, getattr(config, "max_position_embeddings", None) or limit))
    highest = max(map(highest_id, data.rows))
    if highest >= config.vocab_size:
        raise DataError(
            f"the tokenizer of {training.model} writes token {highest} and the model knows {config.vocab_size} tokens; "
            "resize the model's embeddings or bring the tokenizer that it was trained with"
        )
    if training.reference is not None and objective.with_reference:
        data = replace(data, rows=objective.with_reference(data.rows, training.reference))
    return data
