"""``python -m cluster``: a stage as a Kubernetes Job, and the end of a run and its Jobs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from alma.arguments import positive
from alma.cli.pipeline import add_finish, run_finish
from alma.cli.stage import add_stage
from alma.ending import Parser, end, spelt
from alma.errors import AlmaError
from alma.running.lease import SILENCE_SECONDS
from cluster.follow import HOPELESS_SECONDS, POLL_SECONDS
from cluster.names import PREFIX


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top: argparse.ArgumentParser = Parser(prog="python -m cluster", description="Kubernetes Jobs for shards and nodes.")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    add_stage(commands)
    stage = commands.choices["stage"]
    stage.description = (
        "Runs one stage as an Indexed Job: takes what 'alma stage' takes, and leaves what it leaves. How many pods and "
        "what they ask for is placement.stages.STAGE of the run's settings; --gpus, --shard and --lease are the pods'."
    )
    group = stage.add_argument_group("the Job")
    group.add_argument("--placement", metavar="JSON", help="the stage's placement (default: as the run's settings say)")
    group.add_argument("--namespace", metavar="NAME", help="where (default: $POD_NAMESPACE, else the pod's own)")
    group.add_argument(
        "--job-name-prefix", default=PREFIX, metavar="WORD", help=f"before stage and key (default: {PREFIX})"
    )
    group.add_argument(
        "--lease-seconds",
        type=positive,
        default=SILENCE_SECONDS,
        metavar="SECONDS",
        help=f"the pods stop when this process is silent for so long (default: {SILENCE_SECONDS:g})",
    )
    group.add_argument(
        "--hopeless-seconds",
        type=positive,
        default=HOPELESS_SECONDS,
        metavar="SECONDS",
        help=f"fail when an image cannot be pulled for so long (default: {HOPELESS_SECONDS:g})",
    )
    group.add_argument(
        "--poll",
        type=positive,
        default=POLL_SECONDS,
        metavar="SECONDS",
        help=f"between looks (default: {POLL_SECONDS:g})",
    )
    stage.set_defaults(do=run_stage)
    clean = commands.add_parser(
        "clean", help="delete the Jobs of a run", description="Their pods publish what they have."
    )
    clean.add_argument("--run", required=True, metavar="NAME", help="the run's name")
    clean.add_argument("--namespace", metavar="NAME", help="where (default: $POD_NAMESPACE, else the pod's own)")
    clean.set_defaults(do=run_clean)
    add_finish(commands)
    finish = commands.choices["finish"]
    finish.description = "As 'alma finish'; before it, deletes what the run left of Jobs."
    finish.add_argument("--namespace", metavar="NAME", help="where (default: $POD_NAMESPACE, else the pod's own)")
    finish.set_defaults(do=run_finish_and_clean)
    return top


def run_stage(given: argparse.Namespace) -> None:
    """Runs the command."""
    from cluster.stage import stage

    print(stage(given))  # noqa: T201


def run_clean(given: argparse.Namespace) -> None:
    """Runs the command."""
    from cluster.api import Api
    from cluster.delete import delete_jobs

    for name in delete_jobs(given.run, Api(given.namespace)):
        print(name)  # noqa: T201


def run_finish_and_clean(given: argparse.Namespace) -> None:
    """Runs the command. That the Jobs cannot be deleted is said, and the last page is written all the same."""
    try:
        if given.run is not None:
            run_clean(given)
    except AlmaError as error:
        print(f"cluster: what the run left of Jobs is not deleted: {spelt(str(error))}", file=sys.stderr)  # noqa: T201
    run_finish(given)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command; exits as ``alma`` does."""
    end("cluster", parser(), arguments, lambda options: options.do(options))


if __name__ == "__main__":
    main()
