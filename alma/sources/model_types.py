"""Of which types the values in a model's JSON files have to be, as far as anything here reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alma.errors import DataError
from alma.sources.rows import shown
from alma.sources.weights import INDEX, read_json

Ids = int | list[int] | None

TokenId = Annotated[int, Field(ge=0, lt=2**24)]
"""Sixty times the largest vocabularies. A tokenizer takes memory for all ids up to the largest. [ours]"""


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _printable(cls, values: Any) -> Any:
        """Libraries print the names that they do not know, and a terminal would obey them."""
        bad = next((name for name in values if not name.isprintable()), None) if isinstance(values, dict) else None
        if bad is not None:
            raise ValueError(f"the name {bad!r} holds control characters")
        return values


class _Config(_File):
    """``config.json``."""

    model_type: str | None = None
    architectures: list[str] | None = None
    vocab_size: int | None = None
    eos_token_id: Ids = None
    bos_token_id: Ids = None
    pad_token_id: Ids = None
    max_position_embeddings: int | None = None
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


class _Index(_File):
    """``model.safetensors.index.json``."""

    weight_map: dict[str, str] = Field(min_length=1)


FILES: dict[str, type[_File]] = {
    "config.json": _Config,
    "generation_config.json": _Generation,
    "tokenizer.json": _Tokenizer,
    "tokenizer_config.json": _Settings,
    INDEX: _Index,
}


def check_types(folder: Path, source: str) -> None:
    """Raises ``DataError`` with file, place and value for each that no model has; for files that are none, too."""
    faults = []
    for name, model in FILES.items():
        if not (folder / name).is_file():
            continue
        try:
            model.model_validate(read_json(folder / name, source))
        except ValidationError as error:
            for fault in error.errors()[:5]:
                place = ".".join(str(step)[:60] for step in fault["loc"])
                said = f"{fault['msg']} (it is {shown(fault['input'])})"
                faults.append(f"{source}: {name}: {place}: {said}; fetch the model again, or mend it there")
    if faults:
        raise DataError("\n".join(faults))
