"""Matches texts with a regular expression within bounds: a program, run by its path from ``matching``.

An expression such as ``(a+)+`` tries every way to cut a text in two, which thirty characters make a matter of hours.
So this process imports nothing of alma, gives itself bounds, and answers each line of JSON texts with one line.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

CPU_SECONDS = 10.0
"""Of a core, for one text: a usual expression takes microseconds. [ours]"""

MEMORY_BYTES = 2**32
"""Of addresses, for this process. [ours]"""


class TooLong(Exception):  # noqa: N818 - says what happened
    """A match took more than ``CPU_SECONDS``."""


def answer(pattern: re.Pattern[str], texts: Sequence[str]) -> dict[str, object]:
    """Which of ``texts`` the pattern matches in full; or the first at which it goes beyond a bound, and which one."""
    matched: list[bool] = []
    fault = None
    for text in texts:
        try:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            matched.append(pattern.fullmatch(text) is not None)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except TooLong:  # which may come just behind the match
            fault = f"{CPU_SECONDS:g} s of a core"
            break
        except MemoryError:
            fault = f"{MEMORY_BYTES // 2**20:,} MiB of memory"
            break
    return {"matched": matched, "fault": fault}


def main() -> None:
    """Answers until there is nothing more to answer; the first line is the pattern."""

    def stop(signum: int, frame: object) -> None:
        del signum, frame
        raise TooLong

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair; this process ends with its pipe
    signal.signal(signal.SIGPROF, stop)
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # a system that has no such bound, or a lower one
            resource.setrlimit(what, (most, most))
    pattern = re.compile(json.loads(sys.stdin.readline()), re.DOTALL)
    for line in sys.stdin:
        print(json.dumps(answer(pattern, json.loads(line))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
