"""Of which types the values in a model's JSON files have to be, as far as anything here reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alma.errors import DataError
from alma.sources.row import shown
from alma.sources.weights import INDEX, read_json

Ids = int | list[int] | None

TokenId = Annotated[int, Field(ge=0, lt=2**24)]
"""Sixty times the largest vocabularies. A tokenizer takes memory for all ids up to the largest. [ours]"""


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Config(_File):
    """``config.json``."""

    model_type: str | None = None
    architectures: list[str] | None = None
    vocab_size: int | None = None
    eos_token_id: Ids = None
    bos_token_id: Ids = None
    pad_token_id: Ids = None
    max_position_embeddings: Annotated[int, Field(ge=1)] | None = None
    id2label: dict[str, Any] | None = None
    label2id: dict[str, Any] | None = None


class _Generation(_File):
    """``generation_config.json``."""

    eos_token_id: Ids = None


class _Added(_File):
    id: TokenId
    content: str
    special: bool = False


class _Vocabulary(_File):
    vocab: dict[str, TokenId] | list[Any] | None = None


class _Tokenizer(_File):
    """``tokenizer.json``."""

    added_tokens: list[_Added] | None = None
    model: _Vocabulary | None = None


class _Described(_File):
    content: str
    special: bool = False


class _Template(_File):
    name: str
    template: str


class _Settings(_File):
    """``tokenizer_config.json``."""

    added_tokens_decoder: dict[str, _Described] | None = None
    chat_template: str | list[_Template] | None = None
    tokenizer_class: str | None = None
    model_max_length: int | float | None = None
    padding_side: str | None = None
    truncation_side: str | None = None
    add_bos_token: bool | None = None
    add_eos_token: bool | None = None


class _Special(_File):
    """``special_tokens_map.json``."""


class _Index(_File):
    """``model.safetensors.index.json``."""

    weight_map: dict[str, str] = Field(min_length=1)
    metadata: dict[str, Any]
    """transformers loads no weights without it, empty or not."""


FILES: dict[str, type[_File]] = {
    "config.json": _Config,
    "generation_config.json": _Generation,
    "tokenizer.json": _Tokenizer,
    "tokenizer_config.json": _Settings,
    "special_tokens_map.json": _Special,
    INDEX: _Index,
}

_ABOUT_TOKENS = ("tokenizer_config.json", "special_tokens_map.json")
"""Files that describe tokens everywhere; tokenizer.json does so in its ``added_tokens``, and others nowhere."""


def check_types(folder: Path, source: str) -> None:
    """Raises ``DataError`` with file, place and value for each that no model has; for files that are none, too."""
    faults = []
    for name, model in FILES.items():
        if not (folder / name).is_file():
            continue
        whole = read_json(folder / name, source)
        bad = _unprintable(whole) if name in _ABOUT_TOKENS else _unprintable(whole.get("added_tokens"))
        if bad is not None:
            faults.append(f"{source}: {name}: the name {bad!r} holds control characters; fetch the model again")
        try:
            model.model_validate(whole)
        except ValidationError as error:
            for fault in error.errors()[:5]:
                place = ".".join(str(step)[:60] for step in fault["loc"])
                said = f"{fault['msg']} (it is {shown(fault['input'])})"
                faults.append(f"{source}: {name}: {place}: {said}; fetch the model again, or mend it there")
    if faults:
        raise DataError("\n".join(faults))


def _unprintable(value: Any) -> str | None:
    """A name in ``value`` that a terminal would obey: the tokenizers library prints those that it does not know."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            bad = next((str(name) for name in here if not name.isprintable()), None)
            if bad is not None:
                return bad
        waiting += here.values() if isinstance(here, dict) else here if isinstance(here, list) else []
    return None
