"""The name of an artifact, and the manifest that states what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from alma.artifact.digest import folder_name
from alma.artifact.records import SCHEMAS
from alma.errors import DataError, IntegrityError
from alma.faults import first_fault
from alma.store import Store
from alma.store.names import is_name

MOST_DIGITS = 18
"""Of the place of a row: Python makes no number of 5,000 digits."""

MOST = 10**18
"""Rows of an artifact, and the size of a whole number of its metrics: more than there can be, and a length of Python's.
"""

KEY_CHARS = 20
"""Hex digits of a key: 80 bits, so that a billion artifacts collide with a chance below one in a million."""

Metrics = dict[str, float | int]


class Ref(NamedTuple):
    """The name of an artifact: ``<stage>/<key>``."""

    stage: str
    key: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Reads ``stage/key``. Raises ``DataError``."""
        found = cls.find(text)
        if found is None:
            raise DataError(
                f"{text!r} is not the name of an artifact; those look like respond/{'0123456789abcdef' * 2:.20}"
            )
        return found

    @classmethod
    def find(cls, text: str) -> Ref | None:
        """As ``parse``; ``None`` for what is no artifact's name."""
        stage, slash, key = text.strip("/").partition("/")
        is_key = len(key) == KEY_CHARS and set(key) <= set("0123456789abcdef")
        return cls(stage, key) if slash and stage.isidentifier() and is_key else None


class File(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    sha256: str
    rows: int | None = None


class Manifest(BaseModel):
    """States that an artifact is whole, and what it is."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    stage: str
    version: int
    key: str
    kind: Literal["rows", "model", "page"]
    schema_name: str | None = None
    section: dict[str, Any]
    inputs: dict[str, str]
    identity: dict[str, str]
    files: tuple[File, ...]
    num_rows: int | None = None
    metrics: dict[str, float | int]
    libraries: dict[str, str]

    @property
    def ref(self) -> Ref:
        """The artifact's name."""
        return Ref(self.stage, self.key)

    def to_bytes(self) -> bytes:
        """Canonical JSON, so that equal manifests are equal bytes."""
        return (json.dumps(self.model_dump(), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def artifact_key(
    stage: str, version: int, section: Mapping[str, Any], inputs: Mapping[str, str], identity: Mapping[str, str]
) -> str:
    """The key of an artifact: equal exactly where the stage, its version, settings, inputs and sources are equal.

    ``inputs`` maps ports to artifact names; ``identity`` says what an outside source holds (a content hash).
    """
    content = {"stage": stage, "version": version, "section": section, "inputs": inputs, "identity": identity}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARS]


def row_id(ref: Ref, index: int) -> str:
    """The id of a row: the artifact it lies in and its place there."""
    return f"{ref.stage}-{ref.key}-{index}"


def parse_row_id(text: str) -> tuple[Ref, int]:
    """The artifact and place that a row id names. Raises ``DataError``."""
    stage, _, rest = text.partition("-")
    key, _, index = rest.partition("-")
    if not (index.isdecimal() and len(index) <= MOST_DIGITS):
        raise DataError(f"{text!r} is not a row id; those look like respond-{'0123456789abcdef' * 2:.20}-17")
    return Ref.parse(f"{stage}/{key}"), int(index)


def find_manifest(store: Store, ref: Ref) -> Manifest | None:
    """The manifest of ``ref``; ``None`` while it is not sealed. Raises ``IntegrityError`` for an unreadable one."""
    try:
        data = store.read(f"{ref}/manifest.json")
    except FileNotFoundError:
        return None
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"{store.uri}: {ref}/manifest.json is not a manifest: {first_fault(error)}; "
            "remove the artifact's folder and run again"
        ) from error
    fault = _fault(manifest)
    if fault is not None:
        raise IntegrityError(
            f"{store.uri}: {ref}/manifest.json was altered ({fault}); remove the artifact's folder and run again"
        )
    if manifest.ref != ref:
        raise IntegrityError(
            f"{store.uri}: {ref}/manifest.json is that of {manifest.ref}; remove the folder, run again"
        )
    return manifest


def _fault(manifest: Manifest) -> str | None:
    """What in a manifest cannot be as it was written."""
    name = next((file.name for file in manifest.files if not is_name(file.name)), None)
    if name is not None:
        return f"{name[:60]!r} is no file's name"
    try:
        key = artifact_key(manifest.stage, manifest.version, manifest.section, manifest.inputs, manifest.identity)
    except ValueError:  # a NaN, which no key is made of
        return "its settings are no JSON"
    if key != manifest.key:
        return f"its settings, inputs and sources are those of {manifest.stage[:60]}/{key}"
    if manifest.kind != "rows" and not _lie_in_their_folder(manifest.files):
        return "its files are not those of their folder's name"
    if manifest.kind == "rows" and manifest.schema_name not in SCHEMAS:
        return f"{str(manifest.schema_name)[:60]!r} is no kind of rows"
    rows = [file.rows or 0 for file in manifest.files]
    if manifest.kind == "rows" and (min(rows, default=0) < 0 or sum(rows) != manifest.num_rows):
        return f"its files hold {sum(rows)} rows, and num_rows is {manifest.num_rows}"
    if sum(rows) > MOST:
        return f"it states more than {MOST} rows"
    beyond = next(
        (name for name, value in manifest.metrics.items() if isinstance(value, int) and abs(value) > MOST), None
    )
    return None if beyond is None else f"its metric {beyond[:60]!r} is beyond {MOST}"


def _lie_in_their_folder(files: Sequence[File]) -> bool:
    """Whether these are all files of one published folder, whose name holds their hash."""
    contents = [(file.name.split("/", 2)[-1], file.sha256) for file in files]
    folder = folder_name(contents)
    return all(file.name == f"{folder}/{name}" for file, (name, _) in zip(files, contents, strict=True))
