"""From texts to token ids. Axes: P texts, T tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.engines.quotations import encode_quoting, spells
from alma.engines.tokenizer import named
from alma.errors import DataError


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as a document's beginning: with the tokenizer's BOS, where it has that habit, once.

    The same as the ``hf`` engines do: a text that a chat template rendered may hold its BOS already. The spelling of a
    special token in what a text quotes (``alma.prompts.Prompt``) is encoded as the text that it is.
    """
    if not texts:
        return []
    head = _head(tokenizer)
    return [ids if ids[: len(head)] == head else head + ids for ids in encode_inner(tokenizer, texts)]


def encode_inner(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """As ``encode``, but for the BOS: the texts stand somewhere within a document."""
    if not texts:
        return []
    with named(tokenizer):
        plain = tokenizer([str(text) for text in texts], add_special_tokens=False, verbose=False)["input_ids"]
        return [
            encode_quoting(tokenizer, text) if spells(tokenizer, text) else ids
            for text, ids in zip(texts, plain, strict=True)
        ]


def encode_known(tokenizer: Any, texts: Sequence[str], num_ids: int, model: Path) -> list[list[int]]:
    """As ``encode``; a text without tokens or with one that the model does not know raises ``DataError``.

    ``num_ids`` is the number of tokens that the model in folder ``model`` knows.
    """
    ids_PT = encode(tokenizer, texts)
    for place, ids in enumerate(ids_PT):
        if not ids:
            raise DataError(f"text {place} ({str(texts[place])!r}) has no tokens; the model of {model} needs one")
        if max(ids) >= num_ids:
            raise DataError(
                f"the tokenizer of {model} writes token {max(ids)} and the model knows {num_ids} tokens; "
                "resize the model's embeddings or bring the tokenizer that it was trained with"
            )
    return ids_PT


def _head(tokenizer: Any) -> list[int]:
    """The tokens that this tokenizer puts before a text (a BOS, or none)."""
    with named(tokenizer):
        whole, plain = (list(tokenizer("x", add_special_tokens=each)["input_ids"]) for each in (True, False))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start]
    raise DataError(f"the tokenizer of {tokenizer.name_or_path} writes 'x' as {plain} and, as a document, as {whole}")
