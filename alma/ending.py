"""How a command ends: with one sentence where something is wrong, and with a status that its help states.

Every command line of the project ends here. Whatever a file, a folder, a limit of the machine or a signal did is said
with its place and what to do about it; a traceback is printed only where alma itself is at fault.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import resource
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from alma import early
from alma.errors import EXIT_FAILED, EXIT_USER, AlmaError, InternalError, NoSpaceError
from alma.logins import hide_logins
from alma.progress import json_lines
from alma.remedies import Terminated, as_ours

MOST_CHARS = 2000
"""Of a message."""

MOST_TRACE_CHARS = 20_000

THREADS = 16
"""That libraries may start. Where one cannot, Arrow waits for ever, and OpenBLAS sends its own process a Ctrl-C."""

LEAST_MEMORY = ((resource.RLIMIT_AS, 2**30, "v"), (resource.RLIMIT_DATA, 2**27, "d"))
"""Limit, bytes below which nothing works, and ulimit's flag for it."""

assert EXIT_USER == 2, "argparse exits with 2 for wrong usage, and so do we"


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are as short and as plain as ours. Parsers of subcommands are of the same class."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the error, and exits with 2."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USER, f"{self.prog}: error: {spelt(message)}\n")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """argparse's takes the value of ``--set=--`` for the end of the options, and returns none."""
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's swallows that there is no space."""
        (file or sys.stderr).write(message)


def end(
    program: str,
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    do: Callable[[argparse.Namespace], object],
) -> NoReturn:
    """Parses the command line (``arguments``, else the process's own), calls ``do`` with it, and exits."""
    _settle_streams()
    _settle_remarks()
    if arguments is None:
        _listen(os.getpid())
    code, as_json = 0, False
    try:
        options = parser.parse_args(arguments)
        as_json = getattr(options, "log", "auto") == "json"
        Path.cwd()  # it may have been removed
        _check_room()
        _start_threads()
        do(options)
    except SystemExit as asked:  # argparse: a wrong command line, or help
        code = asked.code if isinstance(asked.code, int) else EXIT_FAILED if asked.code else 0
    except BrokenPipeError:  # whoever read our output has seen enough
        code = EXIT_FAILED
    except BaseException as error:  # noqa: BLE001 - told, whatever it is
        if arguments is None:
            _hear_no_more()  # a second Ctrl-C would end us while we tell of the first
        code = tell(program, error, as_json=as_json)
    if arguments is None:
        _hear_no_more()  # the status is settled
    sys.exit(_flushed(program, code))


def tell(program: str, error: BaseException, *, as_json: bool = False) -> int:
    """Says on standard error what ``error`` means; returns the status to exit with."""
    said = error if isinstance(error, AlmaError) else as_ours(_heard[-1]() if _heard else error)
    if said is None:
        with suppress(OSError):
            print(_traceback(error), file=sys.stderr)  # noqa: T201
        said = InternalError(
            f"this is a fault of alma, not yours: {type(error).__name__}: {error}; please report it to the project's "
            "issues, with the command and the lines from 'Traceback' on"
        )
    message = spelt(str(said))
    with suppress(OSError):  # standard error is full, too: the status says it
        if as_json:
            kind = type(said).__name__
            json_lines({"event": "error", "kind": kind, "message": message, "exit": said.exit_code}, is_plain=True)
        else:
            print(f"{program}: {message}", file=sys.stderr, flush=True)  # noqa: T201
    return said.exit_code


def spelt(message: str, most: int = MOST_CHARS) -> str:
    """A message fit for a terminal: control characters spelled out, no login, its middle cut out where it is long."""
    text = escaped(hide_logins(_cut(message, most)))
    return _cut(text, most)


def escaped(text: str) -> str:
    """Text with all characters but line breaks spelled out that a terminal would obey, or cannot show."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str, most: int) -> str:
    """The beginning says where, the end what to do."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[3 - most // 3 :]}"


def _traceback(error: BaseException) -> str:
    with suppress(Exception):  # an error whose own text fails
        return spelt("".join(traceback.format_exception(error)), MOST_TRACE_CHARS).rstrip()
    return f"Traceback of {type(error).__name__}"


def _settle_streams() -> None:
    """A terminal or file that is not UTF-8 gets what it can show; a stream that was closed is empty."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Remark(logging.LogRecord):
    """A line of a log, in which a library may quote what stands in a file."""

    def getMessage(self) -> str:
        return escaped(super().getMessage())


_format_warning = warnings.formatwarning


def _spelt_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return escaped(_format_warning(message, category, filename, lineno, line))


def _settle_remarks() -> None:
    """What libraries log and warn of is spelt out as our own messages are."""
    logging.setLogRecordFactory(_Remark)
    warnings.formatwarning = _spelt_warning


def _check_room() -> None:
    """Raises ``NoSpaceError`` where libraries cannot even be loaded: some end the process, or wait for ever."""
    for limit, least, flag in LEAST_MEMORY:
        may = resource.getrlimit(limit)[0]
        if may != resource.RLIM_INFINITY and may < least:
            raise NoSpaceError(
                f"this process may have {may // 2**20:,} MiB of memory (ulimit -{flag}), and alma and its libraries "
                f"take at least {least // 2**20:,}; raise the limit: ulimit -{flag} unlimited"
            )


def _start_threads() -> None:
    """Raises ``RuntimeError`` where a few threads cannot be started."""
    over = threading.Event()
    size = threading.stack_size(2**18)
    try:
        for _ in range(THREADS):
            threading.Thread(target=over.wait, daemon=True).start()
    finally:
        threading.stack_size(size)
        over.set()


_heard: list[type[BaseException]] = []
"""What signals have raised: a library may have made an error of its own of it."""


def _listen(process: int) -> None:
    """SIGTERM ends a command as Ctrl-C does; commands with work to publish listen for themselves."""

    def terminate(number: int, _: object) -> None:
        if os.getpid() != process:  # a library's process, forked from ours
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        _heard.append(Terminated)
        raise Terminated

    def interrupt(_: int, __: object) -> None:
        _heard.append(KeyboardInterrupt)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, early.leave):
        signal.signal(signal.SIGTERM, terminate)
    # A shell's background job ignores Ctrl-C, and so do we then.
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, early.leave):
        signal.signal(signal.SIGINT, interrupt)


def _hear_no_more() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _flushed(program: str, code: int) -> int:
    """The status to exit with: what could not be printed is no success."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            error.filename = "standard output"
            code = code or tell(program, error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
