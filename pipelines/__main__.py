"""``python -m pipelines``: compile a run file, submit it to Kubeflow Pipelines, follow, look at and stop runs.

Parse first, import later: kfp and the Kubernetes client are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from alma import __version__
from alma.ending import Parser, end
from alma.errors import AlmaError, Stopped
from pipelines import compile as compiling
from pipelines import draw
from pipelines.runs import follow, status, stop, submit
from pipelines.runs.signals import Terminated, check, listen


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits.

    0 done, 1 the run failed or was stopped, 2 wrong usage, parameters or credentials, 75 worth another try,
    130 interrupted by a person, 143 told to stop and the run was stopped with it.
    """
    listen()
    end("pipelines", parser(), arguments, run)


def run(options: argparse.Namespace) -> None:
    """Runs the command that was asked for."""
    try:
        try:
            options.run(options)
        except Exception as error:
            if not isinstance(error, AlmaError):
                check()  # a library may have made an error of its own of what a signal raised
            raise
    except Terminated:
        raise Stopped("told to stop by SIGTERM") from None
    except KeyboardInterrupt:
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top: argparse.ArgumentParser = Parser(
        prog="python -m pipelines",
        description="ALMA on Kubeflow Pipelines: compile a run file, submit it, follow, look at and stop its runs.",
        epilog="exit status: 0 done, 1 the run failed or was stopped, 2 wrong usage, parameters or credentials, "
        "75 worth another try, 130 Ctrl-C, 143 told to stop and the run was stopped with it",
    )
    top.add_argument("--version", action="version", version=f"alma {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    compiling.add_parser(commands)
    draw.add_parser(commands)
    submit.add_parser(commands)
    follow.add_parser(commands)
    status.add_parsers(commands)
    stop.add_parser(commands)
    return top


if __name__ == "__main__":
    main()
