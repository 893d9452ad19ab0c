"""``alma sheet``: responses for people to rate, and what they gave as scores for a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alma.arguments import written
from alma.cli import options
from alma.cli.options import Commands
from alma.ending import escaped

if TYPE_CHECKING:
    from alma.sheet.agreement import Agreement


def add_sheet(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command and its two verbs."""
    sheet = commands.add_parser(
        "sheet",
        help="have people rate responses",
        description="Writes responses as sheets for people to rate, and reads what they gave as scores for a run.",
    )
    verbs = sheet.add_subparsers(dest="verb", required=True, metavar="verb")
    write = verbs.add_parser(
        "write",
        help="write sheets",
        description="Draws responses and writes them, shuffled, into a new folder: sheet.csv for a spreadsheet, "
        "argilla/ for Argilla 2, label-studio/ for Label Studio, each with the paper's scale of 0 to 10; and "
        "key.jsonl, which says where each came from and stays with you.",
    )
    write.add_argument(
        "responses",
        help="respond/KEY or a path into it; a run or its run file, for the responses of its initial checkpoints (of "
        "'judge · respond'); RUN:LABEL; or a file of rows with prompt and response",
    )
    write.add_argument("folder", type=written, help="the folder to be written; it must not exist, or be empty")
    options.store(write)
    write.add_argument("--prompts", type=int, default=200, metavar="N", help="prompts to draw (default: 200)")
    write.add_argument(
        "--responses",
        dest="per_prompt",
        type=int,
        default=2,
        metavar="N",
        help="responses to each, at most (default: 2)",
    )
    write.add_argument(
        "--raters",
        type=int,
        default=1,
        metavar="N",
        help="people who are to rate each response: Argilla takes it from its queue after so many (default: 1)",
    )
    write.add_argument("--seed", type=int, default=0, help="of the draw and of the order (default: 0)")
    write.set_defaults(do=write_sheets)
    read = verbs.add_parser(
        "read",
        help="read filled-in sheets",
        description="Checks filled-in files against the key and writes scores.jsonl: of several raters the mean, and "
        "prints how far they agree.",
    )
    read.add_argument("folder", type=Path, help="the folder that alma sheet write left, with its key.jsonl")
    read.add_argument(
        "file",
        type=Path,
        nargs="+",
        help="a CSV for each rater, named by the file; records of Argilla (to_json); an export of Label Studio (JSON, "
        "JSON-MIN)",
    )
    read.add_argument("--out", type=written, required=True, metavar="FOLDER", help="where scores.jsonl is written")
    read.add_argument(
        "--held-out",
        type=int,
        metavar="N",
        help="write the rows of N prompts into heldout.jsonl, and not into scores.jsonl",
    )
    read.add_argument(
        "--partial", action="store_true", help="leave out rows without a score, which are an error otherwise"
    )
    read.add_argument("--seed", type=int, default=0, help="of the draw of prompts to hold out (default: 0)")
    read.set_defaults(do=read_sheets)


def write_sheets(given: argparse.Namespace) -> None:
    """Runs ``alma sheet write``."""
    from alma.sheet import write

    done = write(
        given.responses,
        given.folder,
        store_uri=given.store,
        num_prompts=given.prompts,
        per_prompt=given.per_prompt,
        num_raters=given.raters,
        seed=given.seed,
    )
    drawn = f"{done.num_rows} responses to {done.num_prompts} prompts of {done.source}"
    print(escaped(f"{drawn}, shuffled, in {given.folder}"))  # noqa: T201
    if done.num_unusable:
        print(f"{done.num_unusable} responses are empty or hold control characters: left out")  # noqa: T201
    if done.num_long:
        print(f"{done.num_long} rows have texts that Excel would cut: use another program")  # noqa: T201
    print("key.jsonl says which checkpoint wrote what: keep it from raters")  # noqa: T201


def read_sheets(given: argparse.Namespace) -> None:
    """Runs ``alma sheet read``."""
    from alma.sheet import read

    done = read(given.folder, given.file, given.out, num_held=given.held_out, partial=given.partial, seed=given.seed)
    if done.agreements:
        _print_agreements(done.agreements)
    raters = ", ".join(f"{name} {num}" for name, num in done.num_scores.items())
    written = ", ".join(f"{num} rows in {given.out / name}" for name, num in done.num_rows.items())
    missing = f"; {done.num_missing} rows without a score left out" if done.num_missing else ""
    print(escaped(f"{written} (scores: {raters}){missing}"))  # noqa: T201


def _print_agreements(found: list[Agreement]) -> None:
    from rich.console import Console
    from rich.table import Table

    from alma.text.plain import plain

    table = Table(title="how raters agree on the rows that both have scored", title_justify="left")
    for name in ("raters", "rows", "quadratic-weighted kappa", "Pearson", "Spearman", "mean absolute difference"):
        table.add_column(name, justify="left" if name == "raters" else "right")
    for each in found:
        numbers = (each.kappa, each.pearson, each.spearman, each.mean_difference)
        cells = ["–" if number is None else f"{number:.3f}" for number in numbers]
        table.add_row(plain(f"{each.one} and {each.other}"), f"{each.num_rows:,}", *cells)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(table)
