"""``alma chat``: talking with models."""

from __future__ import annotations

import argparse

from alma.cli import options
from alma.cli.options import Commands


def add_chat(commands: Commands[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    chat = commands.add_parser(
        "chat",
        help="talk with a model, or with two side by side",
        description="Asks a model what you write, in its own chat template, and shows its answer as it grows; two "
        "models hear the same, and each keeps its own answers. /help says what else can be written: /new, /again, "
        "/system TEXT, /save FILE, /quit. Ctrl-C stops an answer, Ctrl-D ends. Without a terminal every line of the "
        "input is a turn, and answers are lines of the output.",
    )
    chat.add_argument(
        "model",
        nargs="+",
        metavar="MODEL",
        help="what alma export takes (a path that alma run printed, STAGE/KEY, RUN, RUN:LABEL), or the folder of a "
        "model as Hugging Face lays it out",
    )
    options.store(chat)
    chat.add_argument("--system", metavar="TEXT", help="what the models are told first")
    chat.add_argument(
        "--temperature",
        type=float,
        default=0.7,
        metavar="T",
        help="of the softmax; 0 takes the most probable token each time (default: 0.7)",
    )
    chat.add_argument("--top-p", type=float, default=0.9, metavar="P", help="nucleus mass (default: 0.9)")
    chat.add_argument(
        "--max-new-tokens", type=int, default=1024, metavar="N", help="longest answer, in tokens (default: 1024)"
    )
    chat.add_argument(
        "--seed", type=int, default=0, help="of the draw: the same talk gives the same answers (default: 0)"
    )
    chat.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="arithmetic (default: auto, bfloat16 on a GPU and float32 on a CPU)",
    )
    chat.add_argument(
        "--json", action="store_true", help='a line of the input is a text as JSON ("Hello"), an answer an object'
    )
    chat.set_defaults(do=talk)


def talk(given: argparse.Namespace) -> None:
    """Runs the command."""
    from alma.chat import chat
    from alma.chat.settings import Settings
    from alma.errors import Stopped

    names = ("temperature", "top_p", "max_new_tokens", "seed", "system")
    settings = Settings.of(**{name: getattr(given, name) for name in names})
    try:
        chat(given.model, settings, store_uri=given.store, dtype=given.dtype, as_json=given.json)
    except KeyboardInterrupt as error:
        raise Stopped("stopped by Ctrl-C") from error
