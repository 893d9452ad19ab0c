"""``alma preflight``, ``hand-on`` and ``finish``: the first task of a pipeline, a layer's last one, the exit task."""

from __future__ import annotations

import argparse
from pathlib import Path

from alma.cli import options
from alma.cli.options import Commands


def add_preflight(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    preflight = commands.add_parser(
        "preflight",
        help="check a pipeline's settings, store and sources (its first task)",
        description="Fails with exit status 2 and what to mend; nothing is computed. Puts the run's settings into the "
        "store and names the ledger that the first layer gets.",
    )
    options.store(preflight)
    preflight.add_argument("--run-file", required=True, metavar="JSON", help="the run file's method, as compiled")
    preflight.add_argument("--changes", default="", metavar="LINES", help="settings of the form, such as alma.seed=2")
    options.repeated(preflight, "--source", "USE=SOURCE", "where a source lies")
    options.repeated(preflight, "--form", "FIELD=VALUE", "another field of the form")
    preflight.add_argument(
        "--placement", default="{}", metavar="JSON", help="how stages that are Jobs run, as compiled"
    )
    preflight.add_argument("--graph", required=True, metavar="HASH", help="of the steps that were compiled")
    preflight.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    options.run_name(preflight)
    preflight.add_argument("--new-state", metavar="FILE", help="leave the ledger's name here")
    preflight.add_argument("--markdown", metavar="FILE", help="leave what was checked here")
    preflight.set_defaults(do=run_preflight)


def add_hand_on(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    hand_on = commands.add_parser(
        "hand-on",
        help="hand what a layer made on to the next one (a layer's last task)",
        description="Checks that all of it is in the store and names the ledger that the next layer gets.",
    )
    options.store(hand_on)
    hand_on.add_argument("--state", metavar="KEY", help="the ledger that this layer got")
    options.repeated(hand_on, "--made", "LABEL=STAGE/KEY", "an artifact of this layer")
    options.run_name(hand_on)
    hand_on.add_argument("--new-state", metavar="FILE", help="leave the new ledger's name here")
    hand_on.add_argument("--executor-input", metavar="JSON", help="KFP's executor input: the options, as parameters")
    hand_on.set_defaults(do=run_hand_on)


def add_finish(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    finish = commands.add_parser(
        "finish",
        help="write a pipeline's last page, however it ended (its exit task)",
        description="Leaves the newest report and a table of all steps.",
    )
    options.store(finish)
    options.run_name(finish)
    finish.add_argument("--state", default="", metavar="JSON", help="KFP's final status of the run")
    options.pipeline_files(finish)
    finish.set_defaults(do=run_finish)


def run_preflight(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.ending import escaped
    from alma.errors import ConfigError
    from alma.running.form import pairs
    from alma.running.pod import write_file
    from alma.running.preflight import preflight

    if given.run is None:
        raise ConfigError("preflight needs the run's name: --run, or ALMA_RUN in the environment")
    fine, state = preflight(
        run_file=given.run_file,
        changes=given.changes,
        given_sources=pairs(given.source, "--source"),
        form=pairs(given.form, "--form"),
        placement=given.placement,
        compiled_graph=given.graph,
        store=given.store,
        run=given.run,
        base=Path(given.base),
    )
    for line in fine:
        print(escaped(line))  # noqa: T201
    write_file(given.new_state, lambda: state)
    write_file(given.markdown, lambda: "".join(f"- {line}\n" for line in fine))


def run_hand_on(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.errors import ConfigError
    from alma.running.executor_input import fill
    from alma.running.hand_on import hand_on

    filled = fill(given)
    if filled.state is None:
        raise ConfigError("hand-on needs the ledger that this layer got: --state")
    print(hand_on(filled.store, filled.state, filled.made, out=filled.new_state, run=filled.run))  # noqa: T201


def run_finish(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.errors import ConfigError
    from alma.monitor.dashboard import write_executor_output
    from alma.running.finish import finish
    from alma.text.plain import plain

    if given.run is None:
        raise ConfigError("finish needs the run's name: --run, or ALMA_RUN in the environment")
    unfinished = finish(given.store, given.run, state=given.state, out_html=given.html, out_markdown=given.markdown)
    for entry in unfinished:
        print(f"{plain(entry.label)}: {entry.state} {plain(entry.message or '')}".rstrip())  # noqa: T201
    if given.executor_input:
        write_executor_output(given.executor_input, {}, {"run": given.run, "store": given.store})
