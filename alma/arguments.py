"""Types of options: numbers that cannot be meant are refused with the command line, before any work."""

from __future__ import annotations

import argparse
from collections.abc import Callable

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
