"""``python -m pipelines draw``: pictures of a compiled pipeline's layers, as the dashboard lays them out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from alma.arguments import written
from alma.ending import escaped
from alma.errors import ConfigError, StageError
from pipelines.rules.compiled import Compiled
from pipelines.rules.limits import picture

COLORS = {"task": "white", "layer": "#d7e6fb", "artifact": "#ffe8c2"}

WIDTH_INCHES, HEIGHT_INCHES = 3.1, 0.67
"""Of a box: the dashboard's 224 x 48 pixels."""

LETTERS = 28
"""Of a box's text, as many as fit."""


def add_parser(subparsers: Any) -> None:
    """Adds ``draw`` to the command line."""
    parser: ArgumentParser = subparsers.add_parser(
        "draw",
        help="draw a compiled pipeline, one picture per layer",
        description="Writes one PNG per layer, much as the dashboard shows it: white are tasks, blue layers, yellow "
        "output artifacts. Needs Graphviz. Nothing is contacted.",
    )
    parser.add_argument("package", type=Path, metavar="FILE", help="what compile wrote")
    parser.add_argument("folder", type=written, metavar="FOLDER", help="where the pictures go")
    parser.set_defaults(run=main)


def main(options: Namespace) -> None:
    """Runs the command."""
    from pipelines.package import read_package

    package = read_package(options.package)
    compiled = Compiled(package["pipeline_spec"], package.get("platform_spec", {}))
    for path, line in draw(compiled, options.folder):
        print(f"{escaped(str(path))}: {line}", file=sys.stderr)  # noqa: T201


def draw(compiled: Compiled, folder: Path) -> list[tuple[Path, str]]:
    """Writes the pictures; returns each with what it shows.

    Raises ``ConfigError`` where Graphviz is not installed, or the pipeline is not whole.
    """
    dot = shutil.which("dot")
    if dot is None:
        raise ConfigError("'dot' is not installed: it comes with Graphviz; install it (Debian: apt install graphviz)")
    try:
        pictures = [(layer, graph(compiled, layer), counts(compiled, layer)) for layer in compiled.layers]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # it is not ours, and names what it has not
        name = compiled.spec["pipelineInfo"]["name"]
        raise ConfigError(f"{name}: not a whole pipeline ({error!r}); compile it again") from error
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[Path, str] = {}
    for place, (layer, text, shown) in enumerate(pictures):
        # A package that is not ours may call a layer anything, a path to another folder among it.
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", layer.removeprefix("comp-"))[:200]
        path = folder / f"{name}.png"
        path = folder / f"{name}-{place}.png" if path in drawn else path
        command = [dot, "-Tpng", "-Gdpi=48", "-o", str(path)]
        ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        if ran.returncode:
            raise StageError(f"dot could not draw the layer {layer}: {ran.stderr.strip()[:500]}")
        drawn[path] = shown
    return list(drawn.items())


def graph(compiled: Compiled, layer: str) -> str:
    """One layer in Graphviz's language."""
    boxes, arrows = picture(compiled, layer)
    size = f"fixedsize=true width={WIDTH_INCHES} height={HEIGHT_INCHES}"
    lines = [
        f"digraph layer {{ rankdir=TB; nodesep=0.7; ranksep=0.7; node [shape=box style=filled {size} fontsize=14];"
    ]
    lines += [
        f'{_quoted(box)} [label={_quoted(text[:LETTERS])} fillcolor="{COLORS[kind]}"];'
        for box, (kind, text) in boxes.items()
    ]
    lines += [f"{_quoted(start)} -> {_quoted(end)};" for start, end in sorted(arrows)]
    return "\n".join([*lines, "}"]) + "\n"


def counts(compiled: Compiled, layer: str) -> str:
    """What one layer's picture shows, in numbers."""
    boxes, arrows = picture(compiled, layer)
    kinds = Counter(kind for kind, _ in boxes.values())
    return f"{kinds['task']} tasks, {kinds['layer']} layers, {kinds['artifact']} artifacts, {len(arrows)} arrows"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
