"""``alma trace``: a row and every row and model that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from alma.artifact import Artifact, Ref, Rows, parse_row_id
from alma.errors import DataError
from alma.store import Store
from alma.text.plain import plain

MODELS = ("checkpoint_id", "judge_id")
"""Columns that name an artifact and not a row."""

SHOWN = (
    *("earlier", "prompt", "response", "chosen", "rejected"),
    *("score", "mean", "human_score", "round", "cluster", "source_id"),
)


class Origin(NamedTuple):
    """A row or model on the way back: the column that named it, its id, its values, and what it came from in turn."""

    column: str
    name: str
    values: dict[str, Any]
    origins: list[Origin]


def trace(store: Store, row_id: str) -> Origin:
    """The row and its whole ancestry. Raises ``DataError`` for an id that names no row of the store."""
    return _trace(store, row_id, "row", {})


def _trace(store: Store, row_id: str, column: str, known: dict[str, Origin]) -> Origin:
    """``known``: by id, since rows that were shown as examples of one another have ancestors in common."""
    if row_id not in known:
        known[row_id] = Origin(column, row_id, {}, [])  # a row that is its own origin, as no stage writes, ends there
        values = find_row(store, row_id)
        origins = []
        for name, origin in origins_of(values):
            if name in MODELS:
                origins.append(trace_model(store, name, origin))
            else:
                origins.append(_trace(store, origin, name, known))
        known[row_id] = Origin(column, row_id, values, origins)
    return known[row_id]._replace(column=column)


def find_row(store: Store, row_id: str) -> dict[str, Any]:
    """The row that an id names. Raises ``DataError`` where it is not there."""
    ref, index = parse_row_id(row_id)
    artifact = Artifact.open(store, ref)
    if not isinstance(artifact, Rows) or index >= len(artifact):
        raise DataError(
            f"{ref} has no row {index}; it holds {len(artifact) if isinstance(artifact, Rows) else 'files'}"
        )
    row: dict[str, Any] = artifact.table(start=index, stop=index + 1).to_pylist()[0]
    return row


def origins_of(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids in a row's columns that end with ``_id`` or ``_ids``; a source's own id is not one of ours."""
    for column, value in values.items():
        if value is None or column == "source_id":
            continue
        if column.endswith("_id"):
            yield column, str(value)
        elif column.endswith("_ids"):
            for each in value:
                yield column, str(each)


def trace_model(store: Store, column: str, name: str) -> Origin:
    """A model's own inputs, one level deep: its rows are too many to show."""
    manifest = Artifact.open(store, Ref.parse(name)).manifest
    inputs = [Origin(port, source, {}, []) for port, source in manifest.inputs.items()]
    return Origin(column, name, {}, inputs)


def print_trace(store: Store, row_id: str) -> None:
    """Prints the ancestry as a tree; a row that is reached twice is shown once."""
    console = Console(markup=False)  # what is shown is anybody's text
    shown: set[str] = set()

    def grow(tree: Tree, origin: Origin) -> None:
        head = Text.assemble((plain(origin.column), "cyan"), " ", plain(origin.name))
        if origin.name in shown:
            tree.add(Text.assemble(head, (" (above)", "dim")))
            return
        shown.add(origin.name)
        for column in SHOWN:
            if origin.values.get(column) is not None:
                head.append(f"\n{column}: {plain(origin.values[column])}", style="dim")
        branch = tree.add(head)
        for earlier in origin.origins:
            grow(branch, earlier)

    root = Tree(Text(store.uri, style="dim"))
    grow(root, trace(store, row_id))
    console.print(root, soft_wrap=True)
