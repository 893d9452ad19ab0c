"""``alma show``: what an artifact is, on one screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from alma.artifact import Artifact, Ref, Rows
from alma.ending import escaped
from alma.errors import DataError
from alma.store import open_store
from alma.text.plain import plain


def show(name: str, store_uri: str, *, rows: int) -> None:
    """Prints the manifest and the first rows of an artifact, named as ``stage/key`` or by its manifest's path.

    Raises ``DataError`` where it is not there.
    """
    if name.endswith(".json"):
        place = Path(name).resolve()
        if not place.is_file():
            raise DataError(f"{name}: no such file; name STAGE/KEY or the path of a manifest.json")
        ref = Ref.parse("/".join(place.parent.parts[-2:]))
        store_uri = str(place.parents[2])
    else:
        ref = Ref.parse(name)
    artifact = Artifact.open(open_store(store_uri), ref)
    manifest = artifact.manifest
    console = Console(markup=False)  # what is shown is anybody's text
    facts = Table.grid(padding=(0, 2))

    def fact(name: str, value: str) -> None:
        facts.add_row(Text(plain(name)), Text(escaped(value)))  # a store may be anybody's: no markup, no control codes

    fact("artifact", f"{ref} ({manifest.kind}, stage version {manifest.version})")
    if manifest.num_rows is not None:
        fact("rows", f"{manifest.num_rows:,} {manifest.schema_name} in {len(manifest.files)} parts")
    fact("bytes", f"{sum(f.size for f in manifest.files):,}")
    cost = artifact.cost
    fact("took", f"{cost.seconds:.1f} s on {plain(cost.device)}" if cost else "unknown: no cost.json")
    for port, source in manifest.inputs.items():
        fact(f"input {port}", source)
    for key, value in manifest.metrics.items():
        fact(key, f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
    console.print(facts)
    settings = Text(escaped(json.dumps(manifest.section, indent=2, ensure_ascii=False)))
    JSONHighlighter().highlight(settings)
    console.print(settings, soft_wrap=True)
    if isinstance(artifact, Rows):
        console.print(Text(escaped(str(artifact.table(stop=1).schema.remove_metadata())), style="dim"))
        for row in artifact.table(stop=rows).to_pylist():
            print_row(console, row)
    else:
        for file in manifest.files:
            console.print(Text(f"{file.size:>14,}  {escaped(file.name)}"))


def print_row(console: Console, row: dict[str, Any]) -> None:
    """One row, a line per column; text of models is printed as text, never as markup or control codes."""
    grid = Table.grid(padding=(0, 2))
    for column, value in row.items():
        if value is not None:
            grid.add_row(Text(plain(column), style="cyan"), Text(plain(value)))
    console.print(grid)
    console.print()
