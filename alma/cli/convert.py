"""``alma convert``: a public set as a run file's sources."""

from __future__ import annotations

import argparse
from pathlib import Path

from alma.arguments import written
from alma.cli.options import Commands

SETS = (
    "beavertails",
    "truthfulqa",
    "alpacaeval",
    "helpsteer2",
    "daring-anteater",
    "mt-bench",
    "arena-hard",
    "lima",
    "self-instruct",
)
"""Those of ``alma.convert.SETS``, which loads more than a help text may."""


def add_convert(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    convert = commands.add_parser(
        "convert",
        help="turn a public set into the files of a run",
        description="Writes what a run reads of a set's file as it is published, and no prompt in two files: "
        "seeds.jsonl and evaluation.jsonl of beavertails, truthfulqa and alpacaeval; scores.jsonl and heldout.jsonl of "
        "helpsteer2 (helpfulness, 0 to 10); seeds.jsonl of daring-anteater; evaluation.jsonl of the others.",
    )
    convert.add_argument("set", choices=SETS)
    convert.add_argument("file", help="the set's file, which may end in .gz or .xz")
    convert.add_argument("--out", type=written, required=True, metavar="FOLDER", help="where the files are written")
    convert.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="prompts to learn from (default: 64; of helpsteer2 2000, of daring-anteater 5000); 0 for none",
    )
    convert.add_argument(
        "--evaluation", type=int, metavar="N", help="prompts to hold out (default: all others; of helpsteer2 250)"
    )
    convert.add_argument("--family", help="only questions of this family, such as privacy_violation")
    convert.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    convert.set_defaults(do=convert_set)


def convert_set(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.convert import convert

    done = convert(
        given.set,
        Path(given.file),
        given.out,
        num_seeds=given.seeds,
        num_evaluation=given.evaluation,
        family=given.family,
        seed=given.seed,
    )
    written = ", ".join(f"{len(rows)} rows in {name}" for name, rows in done.files.items())
    print(f"{written}; {done.num_left} prompts in none")  # noqa: T201
    if done.unusable:
        reasons = "; ".join(f"{reason} {num:,}" for reason, num in done.unusable.items())
        print(f"rows of the set that are left out: {reasons}")  # noqa: T201
    talks = {name: sum("messages" in row for row in rows) for name, rows in done.files.items()}
    if any(talks.values()):
        counts = ", ".join(f"{num:,} rows of {name}" for name, num in talks.items() if num)
        print(f'conversations, which turns = "all" reads whole: {counts}')  # noqa: T201
