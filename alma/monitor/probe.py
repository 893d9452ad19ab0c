"""What ``alma probe`` prints: what was proven of a model, and what was chosen."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alma.engines.ways import Finding, Proof
from alma.errors import ConfigError, DataError
from alma.stdout import kept_for_results

WIDTH = 120
"""Columns where the output is no terminal."""


def probe(model: Path, *, as_json: bool) -> None:
    """Proves the model in folder ``model`` anew and prints the proof.

    Raises ``DataError`` for a model that cannot be used, after printing; ``ConfigError`` where torch is not installed.
    """
    with kept_for_results():
        try:
            from alma.engines.probe.prove import prove
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"proving a model needs the package {error.name}; install it: pip install 'alma-align[torch]'"
            ) from error
        proof = prove(model)
    if as_json:
        json.dump(dataclasses.asdict(proof), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print_table(proof)
    if proof.refusal:
        raise DataError(f"{model}: {proof.refusal}")


def print_table(proof: Proof) -> None:
    """A line per check, then what follows in a sentence."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    table = Table(title=f"what was proven of a model of type {escape(proof.model_type)}", title_justify="left")
    for name in ("tried on a miniature", "largest difference", "done instead"):
        table.add_column(name, overflow="fold")
    for each in proof.findings:
        table.add_row(escape(each.check), escape(_found(each)), escape(each.chosen) or "–")
    console.print(table)
    if proof.refusal:
        return
    left_off = len(proof.left_off)
    console.print(
        "All of it holds: nothing is left off."
        if not left_off
        else f"{left_off} of {len(proof.findings)} do not hold; what is done instead is slower and gives the same "
        "results as each text alone."
    )


def _found(finding: Finding) -> str:
    if finding.differs is None:
        return finding.problem
    return f"{finding.differs:g} nats" if finding.differs else "none"
