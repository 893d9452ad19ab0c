"""``alma compare``: runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from alma.arguments import written
from alma.cli import options
from alma.cli.options import Commands
from alma.ending import escaped


def add_compare(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    compare = commands.add_parser(
        "compare",
        help="put runs side by side",
        description="Draws the curves of several runs into one page (compare.html) and writes their last points, with "
        "differences to the first run paired by prompt, as CSV and Markdown beside it.",
    )
    compare.add_argument(
        "run", nargs="+", help="a run's name (alma status prints it), report/KEY, or the path of a report.html"
    )
    options.store(compare)
    compare.add_argument(
        "--out", type=written, default=Path(), metavar="FOLDER", help="where they are written (default: .)"
    )
    compare.set_defaults(do=compare_runs)


def compare_runs(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.compare import compare

    compare(given.run, given.out, store_uri=given.store)
    page, table = given.out / "compare.html", given.out / "compare.md"
    print(escaped(f"{page}\n{table.read_text(encoding='utf-8')}"), end="")  # noqa: T201
