"""``alma show``, ``status`` and ``trace``: what lies in a store."""

from __future__ import annotations

import argparse

from alma.arguments import positive, whole
from alma.cli import options
from alma.cli.options import Commands


def add_show(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    show = commands.add_parser(
        "show",
        help="look at an artifact",
        description="Prints an artifact's settings, inputs, metrics, files and first rows.",
    )
    show.add_argument("artifact", help="STAGE/KEY, or the path of a manifest.json")
    options.store(show)
    show.add_argument("--rows", type=whole(0), default=3, help="rows to print (default: 3)")
    show.set_defaults(do=show_artifact)


def add_status(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    status = commands.add_parser(
        "status",
        help="say how far a run is",
        description="Prints the steps of a run with their progress, from what they write into the store; works for "
        "pods as for this machine.",
    )
    status.add_argument("run", nargs="?", help="the run's name, in a cluster its id (default: the one last heard of)")
    options.store(status)
    status.add_argument("--watch", type=positive, nargs="?", const=5.0, metavar="SECONDS", help="print again and again")
    status.set_defaults(do=show_status)


def add_trace(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    trace = commands.add_parser(
        "trace",
        help="follow a row back to its origin",
        description="Prints the row and every row and model it came from, back to the people's rows.",
    )
    trace.add_argument("row", help="a row's id, such as select-0123456789abcdef0123-17")
    options.store(trace)
    trace.set_defaults(do=show_trace)


def show_artifact(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.show import show

    show(given.artifact, given.store, rows=given.rows)


def show_status(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.status import status

    status(given.store, given.run, every=given.watch)


def show_trace(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.trace import print_trace
    from alma.store import open_store

    print_trace(open_store(given.store), given.row)
