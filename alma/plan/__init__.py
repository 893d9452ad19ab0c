"""``alma plan``: what a run will take, by stage, before anything is launched.

==========  ====================================================================
count       the recipe traced with a ``do`` that counts rows and tokens
rates       tokens per second as ``benchmarks/`` measured them, in one JSON file
hours       tokens → hours of one device, measured and by arithmetic
table       what is printed
==========  ====================================================================

Nothing is read but the run file and, where it is named, the file of rates. Nothing is imported before it is needed: the
command line comes first.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alma.config import Method
    from alma.plan.count import Step
    from alma.plan.hours import Means


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``alma plan`` besides the run file."""
    parser.add_argument("--prompt-tokens", type=int, default=100, help="assumed mean length of a prompt (default: 100)")
    parser.add_argument(
        "--response-tokens", type=int, default=400, help="assumed mean length of a response (default: 400)"
    )
    parser.add_argument(
        "--parameters", type=float, metavar="NUMBER", help="parameters of the base model, such as 8.03e9; for hours"
    )
    parser.add_argument(
        "--rates", type=Path, metavar="FILE", help="tokens per second that benchmarks/ wrote with --rates FILE"
    )
    parser.add_argument("--device", metavar="NAME", help="the device to plan for, where FILE has rates of several")
    parser.add_argument(
        "--scale-by-parameters",
        action="store_true",
        help="take a rate of a model of another size times the ratio of the sizes: an estimate, and named one",
    )
    parser.add_argument(
        "--flops-per-second",
        type=float,
        metavar="NUMBER",
        help="the device's peak, such as 989e12 (with --utilisation)",
    )
    parser.add_argument(
        "--utilisation", type=float, metavar="FRACTION", help="the fraction of that peak that is reached, such as 0.4"
    )


def run(options: argparse.Namespace) -> None:
    """The command. Raises ``alma.errors.ConfigError`` for options that do not go together, before anything is read."""
    from alma.config import load
    from alma.plan.hours import Means

    means = Means.of(
        parameters=options.parameters,
        rates=options.rates,
        device=options.device,
        scale=options.scale_by_parameters,
        flops_per_second=options.flops_per_second,
        utilisation=options.utilisation,
    )
    cfg = load(options.run_file, options.overrides)
    print_plan(plan(cfg, prompt_tokens=options.prompt_tokens, response_tokens=options.response_tokens), means)
    from alma.plan.table import print_notes

    print_notes(cfg.notes)


def plan(cfg: Method, *, prompt_tokens: int, response_tokens: int) -> list[Step]:
    """Every step of the run, in order, given mean lengths in tokens (cut at the run's own limits)."""
    from alma.plan.count import count

    return count(cfg, prompt_tokens=prompt_tokens, response_tokens=response_tokens)


def print_plan(steps: list[Step], means: Means | None = None) -> None:
    """A line per step, the sums by stage, and what ``means`` make of them."""
    from alma.plan.table import print_tables

    print_tables(steps, means)
