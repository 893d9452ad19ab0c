"""What a signal does to a command that has not begun: the little that is imported before all else."""

from __future__ import annotations

import os
import signal

EXIT_STOPPED = 75
"""``alma.errors.EXIT_TRANSIENT``, which is not imported yet."""


def leave(number: int, frame: object) -> None:
    """Ends this process at once, as one that was asked to stop ends: there is nothing to publish yet."""
    del number, frame
    os.write(2, b"alma: stopped as asked; run the same command again to resume\n")
    os._exit(EXIT_STOPPED)


def listen() -> None:
    """From now on SIGTERM and Ctrl-C end this process with a word and a status, until ``alma.ending`` hears them."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, leave)
