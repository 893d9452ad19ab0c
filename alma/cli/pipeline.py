"""``alma preflight`` and ``alma finish``: the first and the last task of a pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path

from alma.cli import options
from alma.cli.options import Commands


def add_preflight(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    preflight = commands.add_parser(
        "preflight",
        help="check a pipeline's parameters, store and sources (its first task)",
        description="Fails with exit status 2 and what to mend; nothing is computed.",
    )
    options.store(preflight)
    preflight.add_argument("--settings", required=True, metavar="JSON", help="the settings fixed at compile time")
    options.repeated(preflight, "--section", "NAME=JSON", "a section of the method")
    options.repeated(preflight, "--source", "NAME=SOURCE", "where a source lies")
    options.repeated(preflight, "--gpus", "NAME=COUNT", "a parameter that asks for GPUs")
    preflight.add_argument("--graph", required=True, metavar="JSON", help="the steps that were compiled")
    preflight.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    preflight.add_argument("--run", required=True, metavar="NAME", help="the run's name in the store")
    preflight.add_argument("--executor-input", metavar="JSON", help="KFP's executor input, for its output file")
    preflight.set_defaults(do=run_preflight)


def add_finish(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    finish = commands.add_parser(
        "finish",
        help="write a pipeline's last page, however it ended (its exit task)",
        description="Leaves the newest report and a table of all steps.",
    )
    options.store(finish)
    finish.add_argument("--run", required=True, metavar="NAME", help="the run's name in the store")
    finish.add_argument("--state", default="", metavar="JSON", help="KFP's final status of the run")
    options.pipeline_files(finish)
    finish.set_defaults(do=run_finish)


def run_preflight(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.dashboard import write_executor_output
    from alma.running.preflight import preflight

    fine = preflight(
        settings=given.settings,
        sections=given.section,
        given_sources=given.source,
        compiled=given.graph,
        store=given.store,
        run=given.run,
        base=Path(given.base),
        gpus=given.gpus,
    )
    for line in fine:
        print(line)  # noqa: T201
    if given.executor_input:
        write_executor_output(given.executor_input, {}, {})


def run_finish(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.dashboard import write_executor_output
    from alma.running.finish import finish
    from alma.text.plain import plain

    unfinished = finish(given.store, given.run, state=given.state, out_html=given.html, out_markdown=given.markdown)
    for entry in unfinished:
        print(f"{entry.label}: {entry.state} {plain(entry.message or '')}".rstrip())  # noqa: T201
    if given.executor_input:
        write_executor_output(given.executor_input, {}, {"run": given.run, "store": given.store})
