"""What a person calls a model: a folder in Hugging Face's layout, or what ``alma export`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from alma.artifact import Artifact, Model
from alma.errors import DataError
from alma.export.place import inside, place
from alma.regular import expand
from alma.sources.model_types import check_types
from alma.sources.models import check_generates
from alma.store import open_store


class Found(NamedTuple):
    """A model: what it is called on the screen, and where it lies on this machine."""

    name: str
    folder: Path


def find(model: str, store_uri: str) -> Found:
    """The model that ``model`` names. Files of a store are checked against their hashes.

    Raises ``ConfigError`` for what names none, ``DataError`` where it is not there or cannot be talked with.
    """
    folder = expand(model)
    if inside(model) is None and folder.is_dir():
        found = Found(model, folder)
        _check_tokenizer(found)
    else:
        uri, ref = place(model, store_uri)
        artifact = Artifact.open(open_store(uri), ref)
        if not isinstance(artifact, Model):
            raise DataError(f"{uri}: {ref} is no model; it holds {artifact.manifest.schema_name or 'a page'}")
        found = Found(str(ref), artifact.folder)
    _check_template(found)
    return found


def _check_tokenizer(found: Found) -> None:
    """As its ingest does with a model of a store."""
    from alma.engines.tokenizer_trial import try_tokenizer

    check_types(found.folder, found.name)
    try:
        try_tokenizer(found.folder)
    except DataError as error:
        raise DataError(f"{found.name}: {error}") from error


def _check_template(found: Found) -> None:
    """Looked at before the weights are read, which may take minutes."""
    from alma.engines.tokenizer import load_tokenizer

    if not (found.folder / "config.json").is_file():
        raise DataError(f"{found.folder} holds no config.json; a model is a folder as Hugging Face lays it out")
    check_generates(found.folder, found.name)
    if not load_tokenizer(found.folder).chat_template:
        raise DataError(
            f"{found.name}: has no chat template, so nothing says how it is spoken to; add chat_template.jinja, or "
            "take the model that a run's ingest made of it"
        )
