"""``alma stage``: one stage, as a pod and ``alma run`` call it."""

from __future__ import annotations

import argparse

from alma.cli import options
from alma.cli.options import Commands


def add_stage(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    stage = commands.add_parser(
        "stage",
        help="run one stage",
        description="Runs one stage and prints the name of its artifact. This is what a pod and 'alma run' call.",
    )
    stage.add_argument(
        "stage", help="ingest, synthesize, curate, embed, diversify, respond, judge, select, finetune, …"
    )
    options.store(stage)
    settings = stage.add_mutually_exclusive_group()
    settings.add_argument("--config", default="{}", help="the stage's section as JSON, or @FILE")
    settings.add_argument("--state", metavar="KEY", help="the run's ledger in the store, which names its settings")
    stage.add_argument("--use", metavar="SECTION", help="with --state: the section of the run's settings")
    stage.add_argument("--change", metavar="JSON", help="fields set over the section")
    stage.add_argument(
        "--in",
        dest="inputs",
        action="append",
        default=[],
        metavar="PORT=REF",
        help="an input: STAGE/KEY, the file that --out of an earlier stage left, or, with --state, @LABEL of a step of "
        "an earlier layer (repeatable)",
    )
    stage.add_argument("--base", default=".", help="the folder that relative sources refer to (default: .)")
    stage.add_argument("--gpus", type=int, default=0, help="fail at once where fewer GPUs are visible (default: 0)")
    stage.add_argument(
        "--shard",
        default="all",
        metavar="SHARD",
        help="INDEX/COUNT: publish only those parts, such as 0/8; seal: compute nothing, seal what the "
        "shards have published (default: all)",
    )
    stage.add_argument(
        "--lease",
        metavar="NAME",
        help="stop, with exit status 69, when nobody renews this lease in the store any more (python -m cluster does)",
    )
    options.run_name(stage)
    stage.add_argument("--label", help="what this step is called there (default: the stage)")
    stage.add_argument("--out", metavar="FILE", help="leave a copy of the manifest here")
    stage.add_argument("--ref", metavar="FILE", help="leave the artifact's name here")
    stage.add_argument(
        "--made",
        action="append",
        default=[],
        metavar="LABEL=STAGE/KEY",
        help="with --new-state: another artifact of this layer (repeatable)",
    )
    stage.add_argument(
        "--new-state", metavar="FILE", help="hand on what the layer made: leave the name of the new ledger here"
    )
    options.pipeline_files(stage)
    options.log(stage)
    stage.set_defaults(do=run_stage)


def run_stage(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.running.pod import stage

    print(stage(given))  # noqa: T201
