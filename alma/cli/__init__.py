"""The command line: parse first, import later. A file per group of commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from alma import __version__
from alma.cli.chat import add_chat
from alma.cli.compare import add_compare
from alma.cli.convert import add_convert
from alma.cli.export import add_export
from alma.cli.pipeline import add_finish, add_hand_on, add_preflight
from alma.cli.probe import add_probe
from alma.cli.reading import add_show, add_status, add_trace
from alma.cli.run import add_plan, add_run
from alma.cli.sheet import add_sheet
from alma.cli.stage import add_stage
from alma.ending import Parser, end
from alma.running.threads import sleep_while_waiting

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
    add_chat,
    add_convert,
    add_sheet,
    add_preflight,
    add_hand_on,
    add_finish,
)
"""In the order of ``alma --help``."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong usage, settings or data, 69 left alone, 75 try again."""
    end("alma", parser(), arguments, run)


def run(options: argparse.Namespace) -> None:
    """Runs the command that was asked for."""
    sleep_while_waiting(os.environ)  # every stage starts here, in a pod and on this machine
    options.do(options)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top: argparse.ArgumentParser = Parser(
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
