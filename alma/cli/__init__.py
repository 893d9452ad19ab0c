"""The command line: parse first, import later. A file per group of commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from alma import __version__
from alma.cli.compare import add_compare
from alma.cli.convert import add_convert
from alma.cli.export import add_export
from alma.cli.pipeline import add_finish, add_hand_on, add_preflight
from alma.cli.probe import add_probe
from alma.cli.reading import add_show, add_status, add_trace
from alma.cli.run import add_plan, add_run
from alma.cli.stage import add_stage
from alma.errors import EXIT_FAILED, EXIT_USER, AlmaError
from alma.running.threads import sleep_while_waiting

assert EXIT_USER == 2, "argparse exits with 2 for wrong usage, and so do we"

COMMANDS = (
    add_run,
    add_plan,
    add_probe,
    add_stage,
    add_show,
    add_status,
    add_trace,
    add_compare,
    add_export,
    add_convert,
    add_preflight,
    add_hand_on,
    add_finish,
)
"""In the order of ``alma --help``."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong usage, settings or data, 69 left alone, 75 try again."""
    options = parser().parse_args(arguments)
    sleep_while_waiting(os.environ)  # every stage starts here, in a pod and on this machine
    try:
        options.do(options)
    except AlmaError as error:
        _fail(error, as_json=getattr(options, "log", "auto") == "json")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    sys.exit(0)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="alma",
        description="Align a language model that you own, on machines that you own, from 9,000 human labels.",
        epilog="exit status: 0 done, 1 failed, 2 wrong usage, settings or data, 69 left alone (--lease), "
        "75 stopped or worth another try",
    )
    top.add_argument("--version", action="version", version=f"alma {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for add in COMMANDS:
        add(commands)
    return top


def _fail(error: AlmaError, *, as_json: bool) -> None:
    if as_json:
        from alma.progress import json_lines

        json_lines({"event": "error", "kind": type(error).__name__, "message": str(error), "exit": error.exit_code})
        return
    print(f"alma: {error}", file=sys.stderr)  # noqa: T201
