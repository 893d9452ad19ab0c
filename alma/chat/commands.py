"""What a line is: one of the commands below, or something that is said to the models."""

from __future__ import annotations

from typing import NamedTuple

from alma.errors import DataError

COMMANDS = {
    "new": "forget the conversation",
    "again": "another answer to the last prompt",
    "system TEXT": "what the models are told first; it begins a new conversation, and without TEXT tells nothing",
    "save FILE": "append the conversation to FILE, a JSON line for each model",
    "help": "these lines",
    "quit": "end, as Ctrl-D does; Ctrl-C stops an answer and keeps what came",
}
"""Command → what it does. A line that begins with two strokes is said, without the first of them."""


class Command(NamedTuple):
    """A command and what stands behind it."""

    name: str
    rest: str


def command_of(line: str) -> Command | None:
    """The command that a line is; ``None`` where it is to be said (see ``said``). Raises ``DataError``."""
    if not line.startswith("/") or line.startswith("//"):
        return None
    name, _, rest = line[1:].partition(" ")
    wants = next((each for each in COMMANDS if each.split()[0] == name), None)
    if wants is None:
        known = ", ".join(f"/{each}" for each in COMMANDS)
        raise DataError(f"/{name} is no command; there are {known}. To say a line with a stroke first, write two")
    rest = rest.strip()
    if rest and " " not in wants:
        raise DataError(f"/{name} takes nothing behind it, and {rest!r} stands there")
    if not rest and name == "save":
        raise DataError("/save needs the name of a file: /save talk.jsonl")
    return Command(name, rest)


def said(line: str) -> str:
    """What is said with a line that is no command."""
    return line[1:] if line.startswith("//") else line
