"""What a command tells while it works, on standard error: lines for a person, JSON lines for a log collector."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from alma.logins import hide_logins


def add_option(parser: argparse._ActionsContainer) -> None:
    """Adds ``--log``."""
    parser.add_argument(
        "--log",
        choices=("auto", "text", "json"),
        default="auto",
        help="auto: text on a terminal, else JSON lines (on standard error)",
    )


class Events:
    """Tells one event after another."""

    def __init__(self, mode: str = "auto") -> None:
        self.as_json = mode == "json" or (mode == "auto" and not sys.stderr.isatty())

    def tell(self, event: str, text: str, **fields: Any) -> None:
        """One line: ``text`` for a person; ``event`` with ``fields`` (or else with the text) as JSON."""
        if self.as_json:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            told = {"time": now, "event": event, **(fields or {"message": text})}
            line = json.dumps(told, ensure_ascii=False)
            if not line.isprintable():  # words come from a server, and a terminal would obey them
                line = json.dumps(told)
        else:
            line = f"{time.strftime('%H:%M:%S')}  {plain(text)}"
        print(hide_logins(line), file=sys.stderr, flush=True)  # noqa: T201


def plain(text: str) -> str:
    """Without control characters: names and messages come from a server, and a terminal would obey them."""
    return "".join(c if c == "\n" or c.isprintable() else "·" for c in text)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 4 min 10 s, 2 h 05 min, 3 d 04 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"
