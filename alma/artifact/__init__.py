"""What a stage leaves: parts, then a manifest, written last.

An artifact is a folder ``<stage>/<key>/`` in a store. Its key is a hash of everything that determines its content, so
the same work has the same name wherever and whenever it is done. An artifact with a manifest is sealed: whole and never
changed again. A manifest holds only what follows from the key and the machine's libraries: undisturbed and resumed runs
write equal bytes. What differs from run to run, seconds above all, lies beside it in ``cost.json``.

::

    manifest     names, keys, the manifest; digest: the hash of a content in a name
    reading      a sealed artifact: rows, a model, a page; tables: one of its Parquet files
    out          what a stage publishes to; parts: rows that are published but not sealed yet; statement: what is said
                 of a part, and whether it is so; seal: the end
    shard        the parts of a stage that one of several processes computes
    checkpoints  a training's checkpoints, until its model is sealed
    records      the columns of every kind of row; measures: what is computed from an evaluation's rows
"""

from __future__ import annotations

from alma.artifact.manifest import (
    KEY_CHARS,
    File,
    Manifest,
    Metrics,
    Ref,
    artifact_key,
    find_manifest,
    parse_row_id,
    row_id,
)
from alma.artifact.reading import Artifact, Cost, Folder, Model, Page, Rows

__all__ = [
    "KEY_CHARS",
    "Artifact",
    "Cost",
    "File",
    "Folder",
    "Manifest",
    "Metrics",
    "Model",
    "Page",
    "Ref",
    "Rows",
    "artifact_key",
    "find_manifest",
    "parse_row_id",
    "row_id",
]
