"""The folder of an exported model."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from alma.artifact import Artifact, Model
from alma.errors import ConfigError
from alma.export.card import card, is_judge
from alma.export.lineage import lineage, origin, repository
from alma.export.place import place
from alma.export.push import check_repository
from alma.export.results import results
from alma.store import open_store
from alma.store.files import copy_folder, file_errors

_LICENCE = re.compile(r"[A-Za-z0-9.+-]{1,64}", re.ASCII)

LEFT = ("curve.jsonl",)
"""Files of the artifact that say how it was trained and are no part of the model."""


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    num_bytes: int
    num_results: int
    is_judge: bool
    base: str
    """Where the base model came from, for people."""


def export(
    model: str,
    folder: Path,
    *,
    store_uri: str,
    name: str | None = None,
    license_id: str | None = None,
    base: str | None = None,
) -> Exported:
    """Writes ``model`` (see ``place``) as Hugging Face lays a model out, whole or not at all, to the new ``folder``.

    ``name`` is the card's title (default: the folder's name). Raises ``ConfigError`` where the folder is there and not
    empty, ``DataError`` where the model is not in the store, ``IntegrityError`` where a file is not what was sealed.
    """
    check_names(license_id, base)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists already; give a new folder, or an empty one")
    uri, ref = place(model, store_uri)
    store = open_store(uri)
    past = lineage(store, ref)
    found = results(store, ref, judge=is_judge(past))
    artifact = Artifact.open(store, ref)
    assert isinstance(artifact, Model), "lineage() looked"
    said = card(past, found, name=name or folder.resolve().name, license_id=license_id, base=base)
    with file_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}.", dir=folder.parent))
        try:
            _write(scratch, artifact.folder, said, json.dumps(past.as_json(), indent=1, ensure_ascii=False))
            num_bytes = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
            scratch.chmod(0o777 & ~_umask())
            scratch.replace(folder)  # onto a folder: only where it is empty
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    start = base or repository(past.base) or origin(past.base)
    return Exported(folder, num_bytes, len(found), is_judge(past), start)


def check_names(license_id: str | None, base: str | None) -> None:
    """Raises ``ConfigError`` unless a licence is one word, and a base model ``owner/name``: a card states them."""
    if license_id is not None and not _LICENCE.fullmatch(license_id):
        raise ConfigError(
            f"--license {license_id!r}: give an identifier, such as apache-2.0, or other; "
            "they are listed at https://huggingface.co/docs/hub/repositories-licenses"
        )
    if base is not None:
        check_repository("--base", base)


def _write(scratch: Path, files: Path, said: str, past: str) -> None:
    copy_folder(files, scratch, LEFT)
    (scratch / "README.md").write_text(said, encoding="utf-8")
    (scratch / "lineage.json").write_text(past + "\n", encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
