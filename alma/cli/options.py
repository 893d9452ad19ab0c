"""Options that several commands have."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

Commands = argparse._SubParsersAction  # argparse has no public name for it

DEFAULT_STORE = "store"

STORE_HELP = "a folder or s3://bucket/prefix that holds the artifacts (default: $ALMA_STORE, else ./store)"


def store(command: argparse.ArgumentParser) -> None:
    """``--store``."""
    command.add_argument("--store", default=os.environ.get("ALMA_STORE") or DEFAULT_STORE, help=STORE_HELP)


def run_file(command: argparse.ArgumentParser) -> None:
    """The run file, and ``--set``."""
    command.add_argument("run_file", type=Path, help="the run file (TOML)")
    command.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, such as alma.rounds=3 (repeatable; the value is TOML)",
    )


def log(command: argparse.ArgumentParser) -> None:
    """``--log``."""
    command.add_argument(
        "--log", choices=("auto", "json"), default="auto", help="auto: bars on a terminal, else JSON lines"
    )


def run_name(command: argparse.ArgumentParser) -> None:
    """``--run`` of a step."""
    command.add_argument(
        "--run",
        metavar="NAME",
        default=os.environ.get("ALMA_RUN") or None,
        help="keep this step's state in the store, for alma status NAME (default: $ALMA_RUN, else it is not kept)",
    )


def pipeline_files(command: argparse.ArgumentParser) -> None:
    """What KFP's dashboard shows of a task."""
    command.add_argument("--html", metavar="FILE", help="leave the report's page here")
    command.add_argument("--markdown", metavar="FILE", help="leave a summary here")
    command.add_argument(
        "--executor-input",
        metavar="JSON",
        help="KFP's executor input: options as parameters of the task, and where its output file is",
    )


def repeated(command: argparse.ArgumentParser, option: str, metavar: str, words: str) -> None:
    """An option that may be given several times."""
    command.add_argument(option, action="append", default=[], metavar=metavar, help=f"{words} (repeatable)")
