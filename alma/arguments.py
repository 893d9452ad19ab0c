"""Types of options: what cannot be meant is refused with the command line, before any work."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

MOST = 10**15
"""Of a whole number: a thousand billion rows, tokens or seconds."""


def whole(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number from ``least`` on."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= MOST:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {MOST}")
        return value

    return read


def positive(text: str) -> float:
    """An argparse type: seconds above 0."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def written(text: str) -> Path:
    """An argparse type: a file or folder of this machine that is to be written.

    A Path makes the present folder of an empty text, such as a shell leaves of a variable that is not set, and the
    folder ``s3:`` of an address.
    """
    if not text:
        raise argparse.ArgumentTypeError("'' names nothing; . is the present folder")
    if re.match(r"[A-Za-z][\w+.-]*://", text):
        raise argparse.ArgumentTypeError(f"{text!r} is an address; name a place of this machine, and copy from it")
    return Path(text)
