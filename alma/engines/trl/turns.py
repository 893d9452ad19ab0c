"""What the objectives share whose rows are a prompt and its responses, written by the model's chat template."""

from __future__ import annotations

from typing import Any

from alma.engines.chat import stop_ids
from alma.engines.protocols import Training
from alma.errors import DataError


def stops_of(training: Training, tokenizer: Any) -> frozenset[int]:
    """The ids of the tokens that end a response. Raises ``DataError`` for a model without a chat template."""
    if not tokenizer.chat_template:
        raise DataError(f'{training.model} has no chat template; ingest it as kind = "model", which gives it one')
    return stop_ids(training.model, tokenizer)


def give_padding(training: Training, tokenizer: Any) -> None:
    """Sets a padding token where there is none: TRL wants one. What it is does not matter, padding is masked."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(min(stop_ids(training.model, tokenizer)))
