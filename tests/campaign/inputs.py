"""What must hold of a command line, whatever it is given; the processes that are asked.

The status is a documented one; what is said is short, names the file, and holds nothing that a terminal would obey;
no traceback; neither time nor memory without bound.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

MOST_AT_ONCE = 6

STATUS = {0, 1, 2, 75}
MOST_CHARS = 2100
"""Of a message, with the name of the program before it."""
MOST_LINE_CHARS = 12_000
"""Of a line of JSON, in which a character may take six."""
MOST_MIB = 2048
TERMINAL = {chr(code) for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"} | {"\u202e", "\u2066"}


@dataclass
class Case:
    """A command line in a folder. ``named`` has to be in what is said where it fails."""

    program: str
    arguments: list[str]
    folder: Path
    named: str | None = None
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Ended:
    """How a case ended."""

    status: int
    out: str
    err: str
    timed_out: bool = False
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    more_mib: float = 0.0


@dataclass
class Server:
    """The process that forks (``inputs_server``), started when it is asked first."""

    _process: subprocess.Popen[str] | None = None
    _number: int = 0
    _running: dict[int, Case] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def run(self, case: Case) -> Iterator[tuple[Case, Ended]]:
        """Starts a case; yields those that have ended meanwhile, at least one where ``MOST_AT_ONCE`` were running."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.campaign.inputs_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
                env=environment(),
            )
        assert self._process.stdin is not None
        number = self._number = self._number + 1
        self._running[number] = case
        out, err = (str(_said(case, name)) for name in ("out", "err"))
        request: dict[str, Any] = {"program": case.program, "arguments": case.arguments, "cwd": str(case.folder)}
        request["environment"] = case.environment
        self._process.stdin.write(json.dumps({**request, "number": number, "out": out, "err": err}) + "\n")
        self._process.stdin.flush()
        while len(self._running) >= MOST_AT_ONCE:
            yield self._next()

    def rest(self) -> Iterator[tuple[Case, Ended]]:
        """Waits for all that are running."""
        while self._running:
            yield self._next()

    def _next(self) -> tuple[Case, Ended]:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        case = self._running.pop(answer.pop("number"))
        said = [_said(case, name).read_bytes().decode("utf-8", "surrogateescape") for name in ("out", "err")]
        for name in ("out", "err"):
            _said(case, name).unlink()
        return case, Ended(out=said[0], err=said[1], **answer)


def _said(case: Case, name: str) -> Path:
    return case.folder.parent / f"{case.folder.name}.{name}"


def as_process(case: Case) -> Ended:
    """Runs a case as a person does."""
    command = [sys.executable, "-m", {"alma": "alma"}.get(case.program, case.program), *case.arguments]
    path = f"{Path(__file__).parents[2]}"
    done = subprocess.run(
        command,
        capture_output=True,
        cwd=case.folder,
        env=environment() | {"PYTHONPATH": path},
        check=False,
        timeout=600,
    )
    return Ended(
        done.returncode,
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
    )


def environment() -> dict[str, str]:
    """Of the processes: one thread each, no network, no colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALMA_", "AWS_", "HF_"))}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "COLUMNS": "120",
    }


def faults(case: Case, ended: Ended) -> list[str]:
    """What does not hold."""
    found = []
    lines = ended.err.splitlines()
    message = "\n".join(line for line in lines if not line.startswith("{"))
    told = message.partition("error: ")[2] if message.startswith("usage:") else message
    if ended.timed_out or ended.cpu_seconds > 30:
        found.append(f"hangs: {ended.cpu_seconds:.0f} s of a core")
    elif ended.wall_seconds > 60 and ended.cpu_seconds < 1:  # as long as other cases take its core it computes a little
        found.append(f"waits for {ended.wall_seconds:.0f} s")
    elif ended.status not in STATUS:
        found.append(f"status {ended.status}")
    if ended.more_mib > MOST_MIB:
        found.append(f"takes {ended.more_mib:.0f} MiB")
    if "Traceback" in ended.err + ended.out or "fault of alma" in ended.err:
        found.append("a traceback")
    longest = max(map(len, told.split(f"\n{case.program}: ")))  # a command may tell two
    if longest > MOST_CHARS:
        found.append(f"a message of {longest} characters")
    if any(len(line) > MOST_LINE_CHARS for line in lines):
        found.append(f"a line of {max(map(len, lines))} characters")
    if bad := sorted({repr(c) for c in ended.err + ended.out if c in TERMINAL or "\ud800" <= c <= "\udfff"}):
        found.append(f"control characters {' '.join(bad)}")
    if ended.status and not ended.timed_out:
        if not ended.err.strip():
            found.append("says nothing")
        elif case.named is not None and not message.startswith("usage:") and case.named not in ended.err:
            found.append(f"does not name {case.named!r}")
    return found
