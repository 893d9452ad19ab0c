"""``alma export``: a model of a store, as a folder that other tools take."""

from __future__ import annotations

import argparse

from alma.arguments import written
from alma.cli import options
from alma.cli.options import Commands
from alma.ending import escaped


def add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    export = commands.add_parser(
        "export",
        help="take a model out",
        description="Writes a model of a store into a new folder as transformers, vLLM and the Hugging Face Hub take "
        "it, with a model card (README.md: what it was made from, its settings, its results) and with everything that "
        "it came from (lineage.json).",
    )
    export.add_argument(
        "model",
        help="what alma run prints for it (a path), STAGE/KEY, RUN for that run's latest model, or RUN:LABEL for the "
        "model of a step or layer",
    )
    export.add_argument("folder", type=written, help="the folder to be written; it must not exist, or be empty")
    options.store(export)
    export.add_argument("--name", help="the card's title (default: the folder's name)")
    export.add_argument("--license", metavar="ID", help="the licence that you give it, such as apache-2.0")
    export.add_argument("--base", metavar="OWNER/NAME", help="the base model on the Hub (default: where it came from)")
    export.add_argument("--push", metavar="OWNER/NAME", help="upload the folder to the Hub as well, with $HF_TOKEN")
    export.add_argument("--public", action="store_true", help="with --push, a new repository is open to everyone")
    export.set_defaults(do=export_model)


def export_model(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.export import export, push
    from alma.export.push import check_push

    if given.push:
        check_push(given.push)
    done = export(
        given.model,
        given.folder,
        store_uri=given.store,
        name=given.name,
        license_id=given.license,
        base=given.base,
    )
    what = "judge" if done.is_judge else "model"
    size = f"{done.num_bytes:,} bytes, {done.num_results} results in its card"
    print(escaped(f"{what}   {done.folder} ({size})"))  # noqa: T201
    if not given.license:
        print("licence not stated in the card; --license says it")  # noqa: T201
    if given.push:
        print(escaped(f"pushed  {push(done.folder, given.push, public=given.public)}"))  # noqa: T201
