"""``alma run`` and ``alma plan``: a whole method."""

from __future__ import annotations

import argparse

from alma.cli import options
from alma.cli.options import Commands
from alma.plan import add_options


def add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    run = commands.add_parser(
        "run",
        help="run a method on this machine, from a run file",
        description="Runs every stage of the method that is not sealed yet, one process each. After a "
        "stop or a kill the same command resumes the run; with more rounds it computes only the new ones.",
    )
    options.run_file(run)
    options.store(run)
    options.log(run)
    run.add_argument(
        "--in-process", action="store_true", help="run all stages in this process: faster for tiny models only"
    )
    run.set_defaults(do=run_method)


def add_plan(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    plan = commands.add_parser(
        "plan",
        help="say what a run will take before it starts",
        description="Prints rows, tokens and storage by stage and, from rates that were measured or a peak that you "
        "give, hours of one device. Nothing is read but the run file and the file of rates.",
    )
    options.run_file(plan)
    add_options(plan)
    plan.set_defaults(do=plan_method)


def run_method(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.config import load
    from alma.running.recipe import run_recipe

    cfg = load(given.run_file, given.overrides)
    run_recipe(cfg, given.run_file, given.store, as_json=given.log == "json", isolate=not given.in_process)


def plan_method(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.plan import run

    run(given)
