"""The command line: parse first, import later."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from alma import __version__
from alma.errors import EXIT_FAILED, EXIT_USER, AlmaError, ConfigError

DEFAULT_STORE = "store"

STORE_HELP = "a folder or s3://bucket/prefix that holds the artifacts (default: $ALMA_STORE, else ./store)"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits: 0 done, 1 failed, 2 wrong usage, settings or data, 75 worth another try."""
    options = parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](options)
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
        epilog="exit status: 0 done, 1 failed, 2 wrong usage, settings or data, 75 stopped or worth another try",
    )
    top.add_argument("--version", action="version", version=f"alma {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    run = commands.add_parser(
        "run",
        help="run a method on this machine, from a run file",
        description="Runs every stage of the method that is not sealed yet, one process each. Stopped or killed, the "
        "same command goes on where it was; with more rounds it computes only the new ones.",
    )
    _run_file(run)
    _store(run)
    run.add_argument(
        "--log", choices=("auto", "json"), default="auto", help="auto: bars on a terminal, else JSON lines"
    )
    run.add_argument(
        "--in-process", action="store_true", help="run all stages in this process: faster for tiny models only"
    )

    plan = commands.add_parser(
        "plan",
        help="say what a run will take before it starts",
        description="Prints prompts, samples, tokens and storage by stage. Nothing is read but the run file.",
    )
    _run_file(plan)
    plan.add_argument("--prompt-tokens", type=int, default=100, help="assumed mean length of a prompt (default: 100)")
    plan.add_argument(
        "--response-tokens", type=int, default=400, help="assumed mean length of a response (default: 400)"
    )

    stage = commands.add_parser(
        "stage",
        help="run one stage",
        description="Runs one stage and prints the name of its artifact. This is what a pod and 'alma run' call.",
    )
    stage.add_argument(
        "stage", help="ingest, synthesize, curate, embed, diversify, respond, judge, select, finetune, …"
    )
    _store(stage)
    stage.add_argument("--config", default="{}", help="the stage's section as JSON, or @FILE")
    stage.add_argument(
        "--in", dest="inputs", action="append", default=[], metavar="PORT=STAGE/KEY", help="an input (repeatable)"
    )
    stage.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    stage.add_argument(
        "--log", choices=("auto", "json"), default="auto", help="auto: bars on a terminal, else JSON lines"
    )

    show = commands.add_parser(
        "show",
        help="look at an artifact",
        description="Prints an artifact's settings, inputs, metrics, files and first rows.",
    )
    show.add_argument("artifact", help="STAGE/KEY, or the path of a manifest.json")
    _store(show)
    show.add_argument("--rows", type=int, default=3, help="rows to print (default: 3)")

    trace = commands.add_parser(
        "trace",
        help="follow a row back to its origin",
        description="Prints the row and every row and model it came from, back to the people's rows.",
    )
    trace.add_argument("row", help="a row's id, such as select-0123456789abcdef0123-17")
    _store(trace)
    return top


def _run_file(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_file", type=Path, help="the run file (TOML)")
    command.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, such as alma.rounds=3 (repeatable; the value is TOML)",
    )


def _store(command: argparse.ArgumentParser) -> None:
    command.add_argument("--store", default=os.environ.get("ALMA_STORE") or DEFAULT_STORE, help=STORE_HELP)


def _run(options: argparse.Namespace) -> None:
    from alma.config import load
    from alma.console import run_recipe

    cfg = load(options.run_file, options.overrides)
    run_recipe(cfg, options.run_file, options.store, as_json=options.log == "json", isolate=not options.in_process)


def _plan(options: argparse.Namespace) -> None:
    from alma.config import load
    from alma.plan import plan, print_plan

    cfg = load(options.run_file, options.overrides)
    print_plan(plan(cfg, prompt_tokens=options.prompt_tokens, response_tokens=options.response_tokens))


def _stage(options: argparse.Namespace) -> None:
    from alma.artifact import Ref
    from alma.display import display
    from alma.run import run, stop_signals
    from alma.store import open_store

    text = options.config
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--config {options.config}: {error.strerror}") from error
    try:
        section = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--config is not JSON: {error}") from error
    if not isinstance(section, dict):
        raise ConfigError(f"--config must be a JSON object, not {text[:40]!r}")
    inputs = {}
    for given in options.inputs:
        port, equals, name = given.partition("=")
        if not equals:
            raise ConfigError(f"--in {given!r}: write it as PORT=STAGE/KEY")
        inputs[port] = Ref.parse(name)
    store = open_store(options.store)
    with stop_signals() as stopping, display(force_json=options.log == "json") as show:
        show(options.stage, {"event": "start", "stage": options.stage, "key": ""})
        manifest = run(
            options.stage,
            section,
            inputs,
            store,
            base=Path(options.base),
            emit=lambda event: show(options.stage, event),
            stopping=stopping,
        )
    print(manifest.ref)  # noqa: T201


def _show(options: argparse.Namespace) -> None:
    from alma.show import show

    show(options.artifact, options.store, rows=options.rows)


def _trace(options: argparse.Namespace) -> None:
    from alma.store import open_store
    from alma.trace import print_trace

    print_trace(open_store(options.store), options.row)


def _fail(error: AlmaError, *, as_json: bool) -> None:
    if as_json:
        from alma.progress import json_lines

        json_lines({"event": "error", "kind": type(error).__name__, "message": str(error), "exit": error.exit_code})
        return
    print(f"alma: {error}", file=sys.stderr)  # noqa: T201


_COMMANDS = {"run": _run, "plan": _plan, "stage": _stage, "show": _show, "trace": _trace}
assert EXIT_USER == 2, "argparse exits with 2 for wrong usage, and so do we"
