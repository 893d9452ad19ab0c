"""What a run in a cluster has so far: one small object in the store, handed from layer to layer by its name.

``ledger/<key>.json`` is named by its content, so equal runs hand on equal names, and Kubeflow's cache can hit. A step
looks up in it what earlier layers made, and by which settings the run goes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from alma.artifact import KEY_CHARS, Ref
from alma.config import Method, parse
from alma.errors import DataError, IntegrityError
from alma.faults import first_fault
from alma.regular import parse as parse_json
from alma.store import Store

GENERATION = "ledger/generation.json"
"""Counts how often artifacts that Kubeflow's cache believed in were found missing in this store."""


class _Named(BaseModel):
    """An object of the store that is named by its content: what is read is what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: ClassVar[str]

    @classmethod
    def read(cls, store: Store, key: str) -> Self:
        """The one of that name. Raises ``DataError`` where there is none, ``IntegrityError`` for an altered one."""
        if len(key) != KEY_CHARS or not set(key) <= set("0123456789abcdef"):
            raise DataError(f"{key[:60]!r} is not the name of a {cls.folder}: {KEY_CHARS} hex digits")
        name = f"{cls.folder}/{key}.json"
        try:
            data = store.read(name)
        except FileNotFoundError as error:
            raise DataError(f"{store.uri}: {name} is not there; is this the store of the run?") from error
        if _key(data) != key:
            raise IntegrityError(f"{store.uri}: {name} is not what its name says; remove it and run again")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(
                f"{store.uri}: {name}: {first_fault(error)}; another version of alma wrote it: run with that one, or "
                "begin the run anew"
            ) from error

    def write(self, store: Store) -> str:
        """Puts it into the store; its name."""
        data = (json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False) + "\n").encode()
        key = _key(data)
        store.write(f"{self.folder}/{key}.json", data)
        return key


def _key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:KEY_CHARS]


class Ledger(_Named):
    """The settings of a run, by their hash, and the artifacts of all layers that are done, by their labels."""

    folder = "ledger"

    settings: str
    artifacts: dict[str, str]
    generation: int = 0
    """``GENERATION`` as it was when the run began: part of every task's inputs, so of Kubeflow's cache key."""

    def with_artifacts(self, made: dict[str, str]) -> Self:
        """This one, and what another layer made."""
        return self.model_copy(update={"artifacts": {**self.artifacts, **made}})

    def ref(self, label: str) -> Ref:
        """The artifact that ``label`` made. Raises ``DataError`` where no earlier layer has that step."""
        if label not in self.artifacts:
            raise DataError(f"no earlier layer made {label!r}; made were: {', '.join(self.artifacts) or 'none'}")
        return Ref.parse(self.artifacts[label])


class Settings(_Named):
    """All settings of a run as its first task resolved them: the method's, and where Jobs of its stages run."""

    folder = "settings"

    method: dict[str, Any]
    """The run file's method root and what stands in it, changes applied."""

    placement: dict[str, Any]
    """Stage → how its Job runs; only of stages that run as Jobs."""

    def cfg(self) -> Method:
        """The method's settings, typed."""
        return parse(self.method, "the run's settings")


def generation(store: Store) -> int:
    """How often artifacts were found missing."""
    try:
        written = store.read(GENERATION)
    except FileNotFoundError:
        return 0
    named = f"{store.uri}/{GENERATION}"
    try:
        return int(parse_json(written, named)["generation"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{named}: is not as it was written; remove it") from error


def distrust_cache(store: Store) -> None:
    """Says that artifacts which were made are gone: the next run's tasks all have new keys in Kubeflow's cache."""
    store.write(GENERATION, json.dumps({"generation": generation(store) + 1}).encode())
