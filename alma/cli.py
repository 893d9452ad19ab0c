"""The command line: parse first, import later."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from alma import __version__
from alma.errors import EXIT_FAILED, EXIT_USER, AlmaError

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

    _stage_parser(commands)
    _reading_parsers(commands)
    _pipeline_parsers(commands)
    return top


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _stage_parser(commands: Commands[argparse.ArgumentParser]) -> None:
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
    stage.add_argument("--change", metavar="JSON", help="fields set over --config")
    stage.add_argument("--source", help="where an ingested source lies, set over --config")
    stage.add_argument(
        "--in",
        dest="inputs",
        action="append",
        default=[],
        metavar="PORT=REF",
        help="an input: STAGE/KEY, or the file that --out of an earlier stage left (repeatable)",
    )
    stage.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    stage.add_argument("--gpus", type=int, default=0, help="fail at once where fewer GPUs are visible (default: 0)")
    stage.add_argument(
        "--shard",
        default="all",
        metavar="SHARE",
        help="INDEX/COUNT: publish only that share of the parts, such as 0/8; seal: compute nothing, seal what the "
        "shards have published (default: all)",
    )
    _run_name(stage)
    stage.add_argument("--label", help="what this step is called there (default: the stage)")
    stage.add_argument("--out", metavar="FILE", help="leave a copy of the manifest here")
    _pipeline_files(stage)
    stage.add_argument(
        "--log", choices=("auto", "json"), default="auto", help="auto: bars on a terminal, else JSON lines"
    )


def _reading_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    show = commands.add_parser(
        "show",
        help="look at an artifact",
        description="Prints an artifact's settings, inputs, metrics, files and first rows.",
    )
    show.add_argument("artifact", help="STAGE/KEY, or the path of a manifest.json")
    _store(show)
    show.add_argument("--rows", type=int, default=3, help="rows to print (default: 3)")

    status = commands.add_parser(
        "status",
        help="say how far a run is",
        description="Prints the steps of a run with their progress, from what they write into the store; works for "
        "pods as for this machine.",
    )
    status.add_argument("run", nargs="?", help="the run's name, in a cluster its id (default: the one last heard of)")
    _store(status)
    status.add_argument("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS", help="print again and again")

    trace = commands.add_parser(
        "trace",
        help="follow a row back to its origin",
        description="Prints the row and every row and model it came from, back to the people's rows.",
    )
    trace.add_argument("row", help="a row's id, such as select-0123456789abcdef0123-17")
    _store(trace)


def _pipeline_parsers(commands: Commands[argparse.ArgumentParser]) -> None:
    preflight = commands.add_parser(
        "preflight",
        help="check a pipeline's parameters, store and sources (its first task)",
        description="Fails with exit status 2 and what to mend; nothing is computed.",
    )
    _store(preflight)
    preflight.add_argument("--settings", required=True, metavar="JSON", help="the settings fixed at compile time")
    _repeated(preflight, "--section", "NAME=JSON", "a section of the method")
    _repeated(preflight, "--source", "NAME=SOURCE", "where a source lies")
    _repeated(preflight, "--gpus", "NAME=COUNT", "a parameter that asks for GPUs")
    preflight.add_argument("--graph", required=True, metavar="JSON", help="the steps that were compiled")
    preflight.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    preflight.add_argument("--run", required=True, metavar="NAME", help="the run's name in the store")
    preflight.add_argument("--executor-input", metavar="JSON", help="KFP's executor input, for its output file")

    finish = commands.add_parser(
        "finish",
        help="write a pipeline's last page, however it ended (its exit task)",
        description="Leaves the newest report and a table of all steps.",
    )
    _store(finish)
    finish.add_argument("--run", required=True, metavar="NAME", help="the run's name in the store")
    finish.add_argument("--state", default="", metavar="JSON", help="KFP's final status of the run")
    _pipeline_files(finish)


def _run_name(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", metavar="NAME", help="keep this step's state in the store, for alma status NAME")


def _pipeline_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("--html", metavar="FILE", help="leave the report's page here")
    command.add_argument("--markdown", metavar="FILE", help="leave a summary here")
    command.add_argument("--executor-input", metavar="JSON", help="KFP's executor input, for its output file")


def _repeated(command: argparse.ArgumentParser, option: str, metavar: str, words: str) -> None:
    command.add_argument(option, action="append", default=[], metavar=metavar, help=f"{words} (repeatable)")


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
    from alma.pod import stage

    print(stage(options))  # noqa: T201


def _status(options: argparse.Namespace) -> None:
    from alma.status import status

    status(options.store, options.run, watch=options.watch)


def _preflight(options: argparse.Namespace) -> None:
    from alma.dashboard import write_executor_output
    from alma.preflight import preflight

    fine = preflight(
        settings=options.settings,
        sections=options.section,
        given_sources=options.source,
        compiled=options.graph,
        store=options.store,
        run=options.run,
        base=Path(options.base),
        gpus=options.gpus,
    )
    for line in fine:
        print(line)  # noqa: T201
    if options.executor_input:
        write_executor_output(options.executor_input, {}, {})


def _finish(options: argparse.Namespace) -> None:
    from alma.dashboard import write_executor_output
    from alma.finish import finish
    from alma.show import plain

    unfinished = finish(
        options.store, options.run, state=options.state, out_html=options.html, out_markdown=options.markdown
    )
    for entry in unfinished:
        print(f"{entry.label}: {entry.state} {plain(entry.message or '')}".rstrip())  # noqa: T201
    if options.executor_input:
        write_executor_output(options.executor_input, {}, {"run": options.run, "store": options.store})


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


_COMMANDS = {
    "run": _run,
    "plan": _plan,
    "stage": _stage,
    "show": _show,
    "status": _status,
    "trace": _trace,
    "preflight": _preflight,
    "finish": _finish,
}
assert EXIT_USER == 2, "argparse exits with 2 for wrong usage, and so do we"
