"""``alma probe``: what is safe with a model, before anything is done with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from alma.cli.options import Commands


def add_probe(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    probe = commands.add_parser(
        "probe",
        help="prove a model",
        description="Tries in seconds, on a miniature with the architecture of the model in a folder, whether rows "
        "that are joined, padded, cached or begun together get the same results as each alone. Prints a table of what "
        "was proven, and of what is done instead where something does not hold. The ingest of a run does the same. "
        "Reads config.json only, and no weights. Exit status 2 where the model cannot be used rightly at all.",
    )
    probe.add_argument("model", type=Path, help="the folder that holds the model's config.json")
    probe.add_argument("--json", action="store_true", help="print the proof as JSON, as a model's proof.json holds it")
    probe.set_defaults(do=probe_model)


def probe_model(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.monitor.probe import probe

    probe(given.model, as_json=given.json)
