"""What people bring as files: paths that can be one, regular files of a bounded size, JSON that Python can hold.

A pipe or a device in the place of a file would be read for ever, a file that was taken for it by mistake all at once.
So each is looked at before it is opened. ``kind`` is the error that is raised: of settings or of data.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from alma.bounded import bounded_memory
from alma.errors import AccessError, ConfigError, DataError, UserError

SETTINGS_BYTES = 2**20
"""Of a run file, and of what a command line names with it."""

DOCUMENT_BYTES = 2**28
"""Of a report, and of an index of weights. [ours]"""

TOKENIZER_BYTES = 2**27
"""Of a file of a tokenizer: the largest have 40 MB, 260,000 tokens. [ours]"""

CONFIG_BYTES = 2**24
"""Of a config.json: with a hundred thousand labels it has 5 MB. [ours]"""

ROW_BYTES = 2**26
"""Of a row of data as it is written, of a CSV in characters: ten times a conversation of a million tokens. The worst of
that size, a list of empty lists, takes 1.7 GB when it is read. [ours]"""

JSON_MEMORY = 2**32
"""Bytes that the values of a JSON text may take: a list of empty lists takes twenty times its text. [ours]"""

LEVELS = 64
"""Of lists and mappings in each other in what is a setting; the deepest of ours has five. [ours]"""

TOO_MANY_DIGITS = "integer string conversion"
"""Python's words, whose remedy is for programmers."""

MANY_DIGITS = "holds a whole number of more than 4,300 digits; write a shorter one"

_SMALL_CHARS = 2**22
"""A text that is shorter takes no such memory, whatever it holds."""

_PIECE_BYTES = 2**20

_KINDS = {
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


def expand(path: str | Path, kind: type[UserError] = DataError) -> Path:
    """``path`` with the home that ``~`` names. Raises ``kind`` for a user that is not known, or what is no path."""
    text = str(path)
    if "\0" in text:
        raise kind(f"{text!r} holds a NUL character, which no path can; take it out")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise kind(f"{text!r} holds half a character (a lone surrogate), which no path can; take it out") from error
    try:
        return Path(text).expanduser()
    except RecursionError:  # a RuntimeError too, and no fault of the path
        raise
    except RuntimeError as error:
        raise kind(f"{text}: this machine knows no user of this name; write the whole path, or ./{text}") from error


def is_same(one: Path, other: Path) -> bool:
    """Whether they are one file, however they are spelt; also of files that are not there yet."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def check_regular(
    path: Path, most_bytes: int | None = None, *, named: str = "", kind: type[UserError] = DataError
) -> None:
    """Raises ``kind`` for a pipe, device or socket, and for a file of more than ``most_bytes``.

    ``named`` is what a person called it. What is not there, or is a folder, raises as opening it does.
    """
    name = named or str(path)
    state = expand(path, kind).stat()
    what = next((what for test, what in _KINDS.items() if test(state.st_mode)), None)
    if what is not None:
        raise kind(f"{name}: is {what}, and not a regular file; write what it gives into a file, and name that")
    if most_bytes is not None and state.st_size > most_bytes:
        raise kind(
            f"{name}: has {state.st_size:,} bytes, and {most_bytes:,} are the most that are read; is it the right file?"
        )


def read_regular(path: Path, most_bytes: int, *, named: str = "", kind: type[UserError] = DataError) -> bytes:
    """The bytes of a regular file. Raises as ``check_regular``, and ``AccessError``."""
    check_regular(path, most_bytes, named=named, kind=kind)
    try:
        with path.open("rb") as file:
            content = bytearray()
            # By the piece: read(n) takes n bytes of memory at once, whatever the file has.
            while len(content) <= most_bytes and (piece := file.read(_PIECE_BYTES)):
                content += piece
            return bytes(content)
    except PermissionError as error:
        raise AccessError(f"{named or path}: this user may not read it; try: chmod a+r {path}") from error
    except OSError as error:
        error.filename = error.filename or named or str(path)  # read(2) knows no name
        raise


def parse(
    text: str | bytes,
    named: str,
    kind: type[UserError] = DataError,
    hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The value of a JSON text. Raises ``kind`` with the place for what is none, or none that Python can hold."""
    try:
        with bounded_memory(JSON_MEMORY) if len(text) > _SMALL_CHARS else nullcontext():
            return json.loads(text, object_pairs_hook=hook)
    except MemoryError as error:
        raise kind(
            f"{named}: its values take more than {JSON_MEMORY // 2**20:,} MiB of memory; is it the right file?"
        ) from error
    except json.JSONDecodeError as error:
        raise kind(
            f"{named} line {error.lineno} column {error.colno} is not JSON: {error.msg}; mend it there"
        ) from error
    except UnicodeDecodeError as error:
        raise kind(f"{named}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except RecursionError as error:
        raise kind(f"{named}: is nested too deep to be read; a hundred levels are enough") from error
    except ValueError as error:  # a number of 5,000 digits; a fault that the hook found
        if TOO_MANY_DIGITS in str(error):
            raise kind(f"{named}: {MANY_DIGITS}") from error
        raise kind(f"{named}: is not readable as JSON: {str(error)[:200]}") from error


def check_levels(value: Any, named: str, kind: type[UserError] = ConfigError) -> None:
    """Raises ``kind`` with the place for lists and mappings in each other of more than ``LEVELS`` levels.

    A dotted key of a thousand names is read as quickly as any, and ends what walks through its value by recursion.
    """
    level: list[tuple[tuple[str, ...], Any]] = [((), value)]
    for _ in range(LEVELS + 1):
        level = [inner for outer in level for inner in _inside(*outer)]
    if level:
        place = ".".join(level[0][0])
        raise kind(
            f"{named}{': ' if place else ''}{place}… is nested in more than {LEVELS} levels; no setting has as many as "
            "ten: take it out"
        )


def _inside(place: tuple[str, ...], value: Any) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        return [((*place, str(key)[:60]) if len(place) < 4 else place, each) for key, each in value.items()]
    return [(place, each) for each in value] if isinstance(value, list | tuple) else []
