"""A source that somebody writes to while it is taken in: what is read is what the artifact is named after, or nothing.

A source is hashed when the work is named, and read later: after imports, or hours of waiting for another process. So
rows and small files are read from a copy of our own, whose hash is compared before anything of it is published. Weights
are linked where they can be; the hash of what is published of them is compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from alma import sources
from alma.errors import TransientError
from alma.sections import IngestRows
from alma.store.cache import sha256_file
from alma.store.files import file_errors


def check_unchanged(source: str, identity: Mapping[str, str], found: str) -> None:
    """Raises ``TransientError`` unless ``found``, the SHA-256 of what was read, is the one that names the work."""
    if found != identity["sha256"]:
        raise TransientError(
            f"{source}: changed while it was being taken in: its SHA-256 was {identity['sha256'][:12]}… when the work "
            f"was named, and is {found[:12]}… as it was read; wait until nothing writes to it, and run again"
        )


def fetch_unchanged(cfg: IngestRows, identity: Mapping[str, str], base: Path, scratch: Path) -> list[Path]:
    """The files that hold the rows, as ``sources.fetch_rows`` has them, which nobody else writes to.

    ``identity`` is what the source held when the work was named. Raises ``TransientError`` where it holds other rows.
    """
    paths = sources.fetch_rows(cfg, base, scratch)
    if sources.scheme(cfg) == "hf":  # a commit, whose files never change
        return paths
    (path,) = paths
    if sources.scheme(cfg) == "path":
        copy = scratch / path.name
        with sources.being_read(cfg.source), file_errors(copy):
            shutil.copyfile(path, copy)
        path = copy
    check_unchanged(cfg.source, identity, sha256_file(path))
    return [path]
