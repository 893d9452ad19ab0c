"""A model's tokenizer, loaded so that a text has the same tokens whoever used the folder before; and its end tokens.

No torch here: ``ingest`` checks a model with it before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alma.engines.importing import imported
from alma.engines.model_folder import check_sizes
from alma.errors import DataError, is_of_rust
from alma.regular import CONFIG_BYTES, parse, read_regular

MOST_IDS = 2**31
"""Of tokens: libraries hold their numbers in 32 or 64 bits, and JSON any."""


def load_tokenizer(model: Path) -> Any:
    """The tokenizer in a model's folder; runs no code from there. Raises ``DataError`` if there is none.

    What a training of somebody else may have left in its files is off: cutting and filling texts, merges dropped at
    random, special tokens read as text. Its way of writing texts (BOS, case, spaces) is the model's and stays.
    """
    check_sizes(model)  # the tokenizer's class is found by the config's
    theirs = imported("transformers.models.auto.tokenization_auto", "transformers")
    try:
        tokenizer = theirs.AutoTokenizer.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # each tokenizer checks itself in its own way; Rust's panics are no Exception
        if isinstance(error, MemoryError) or not (isinstance(error, Exception) or is_of_rust(error)):
            raise
        raise DataError(
            f"{model} holds no tokenizer that transformers can load without code of its own: {error}"
        ) from error
    tokenizer.split_special_tokens = False
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        settle(backend)
    added = tokenizer.added_tokens_decoder
    tokenizer.end_texts = frozenset(added[each].content for each in _stated_ends(model) if each in added)
    return tokenizer


@contextmanager
def named(tokenizer: Any) -> Iterator[None]:
    """Has a tokenizer that cannot write a text, such as one without a token for what it does not know, say whose it is.

    Raises ``DataError``.
    """
    try:
        yield
    except BaseException as error:
        if not is_of_rust(error):
            raise
        raise DataError(
            f"the tokenizer of {tokenizer.name_or_path} cannot write a text as tokens: {error}; mend its tokenizer.json"
        ) from error


def settle(backend: Any) -> None:
    """Makes the tokens of a text follow from the text alone; ``backend`` is a ``tokenizers.Tokenizer``."""
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = False
    if getattr(backend.model, "dropout", None):  # BPE's, by which merges are left out at random
        backend.model.dropout = None
    if getattr(backend.model, "alpha", None):  # Unigram's, by which a text is split at random
        backend.model.alpha = None


def stop_ids(model: Path, tokenizer: Any) -> frozenset[int]:
    """The token ids at which generation stops, as the ``hf`` engine reads them.

    They are ``eos_token_id`` of the generation config (of the config, where there is no generation config) and the
    tokenizer's end token. Raises ``DataError`` if there is none at all.
    """
    ids = {*_stated_ends(model), tokenizer.eos_token_id} - {None}
    if not ids:
        raise DataError(
            f"{model} has no end token; name the one that ends a turn as eos_token_id in generation_config.json"
        )
    return frozenset(ids)


def special_texts(tokenizer: Any) -> frozenset[str]:
    """Every special token as text: the named ones (end, padding), the markers that were added as special, end tokens.

    Not among them are those that models write in their answers (``<think>``, ``<tool_call>``).
    """
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return frozenset([*tokenizer.all_special_tokens, *added, *getattr(tokenizer, "end_texts", ())])


def _stated_ends(model: Path) -> list[int]:
    """``eos_token_id`` of a folder's generation config, or of its config; without what is no token's."""
    paths = [each for each in (model / "generation_config.json", model / "config.json") if each.is_file()]
    whole = parse(read_regular(paths[0], CONFIG_BYTES), str(paths[0])) if paths else {}
    stated = whole.get("eos_token_id") if isinstance(whole, dict) else None
    listed = stated if isinstance(stated, list) else [stated]
    return [each for each in listed if type(each) is int and 0 <= each < MOST_IDS]
