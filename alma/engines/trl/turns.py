"""What the objectives share whose rows are a prompt and its responses, written by the model's chat template."""

from __future__ import annotations

from typing import Any

from alma.engines.protocols import Training
from alma.engines.tokenizer import stop_ids
from alma.errors import DataError


def stops_of(training: Training, tokenizer: Any) -> frozenset[int]:
    """The ids of the tokens that end a response. Raises ``DataError`` for a model without a chat template."""
    if not tokenizer.chat_template:
        raise DataError(f'{training.model} has no chat template; ingest it as kind = "model", which gives it one')
    return stop_ids(training.model, tokenizer)


def give_padding(training: Training, tokenizer: Any, model: Any) -> None:
    """Sets a padding token where the model knows none: TRL wants one. Which one does not matter, it is masked.

    Some of transformers' tokenizers (Qwen 2's) bring one of their own, whatever the folder's vocabulary holds.
    """
    embeddings = model.get_input_embeddings()
    known = getattr(embeddings, "base_layer", embeddings).num_embeddings  # beneath an adapter
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(min(stop_ids(training.model, tokenizer)))
