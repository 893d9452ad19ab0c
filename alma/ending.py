"""How a command ends: with one sentence where something is wrong, and with a status that its help states.

Every command line of the project ends here. Whatever a file, a folder, a limit of the machine or a signal did is said
with its place and what to do about it; a traceback is printed only where alma itself is at fault.
"""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from alma.errors import (
    EXIT_FAILED,
    EXIT_USER,
    AccessError,
    AlmaError,
    DataError,
    InternalError,
    NoSpaceError,
    Stopped,
    TransientError,
    UserError,
)
from alma.progress import json_lines

MOST_CHARS = 2000
"""Of a message."""

MOST_TRACE_CHARS = 20_000

THREADS = 16
"""That libraries may start. Where one cannot, Arrow waits for ever, and OpenBLAS sends its own process a Ctrl-C."""

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


class Terminated(BaseException):
    """SIGTERM came to a command that does not listen for it. Not an ``Exception``: no retry may swallow it."""


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
    """A message fit for a terminal: control characters spelled out, its middle cut out where it is long."""
    text = escaped(_cut(message, most))
    return _cut(text, most)


def escaped(text: str) -> str:
    """Text with all characters but line breaks spelled out that a terminal would obey, or cannot show."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _cut(text: str, most: int) -> str:
    """The beginning says where, the end what to do."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[3 - most // 3 :]}"


REMEDIES: dict[int, tuple[type[UserError], str]] = {
    errno.ENOENT: (DataError, "name one that is there"),
    errno.ENOTDIR: (DataError, "a part of this path is a file; name a folder"),
    errno.EISDIR: (DataError, "it is a folder; name a file"),
    errno.EEXIST: (DataError, "name one that is not there yet"),
    errno.ENOTEMPTY: (DataError, "name an empty folder"),
    errno.ENAMETOOLONG: (DataError, "the file system takes no name of this length; give a shorter one"),
    errno.ELOOP: (DataError, "its symbolic links lead back to themselves"),
    errno.EINVAL: (DataError, "the file system does not take this name; give another one"),
    errno.EILSEQ: (DataError, "the file system does not take this name; give another one"),
    errno.ENXIO: (DataError, "it is no regular file; name one"),
    errno.ENODEV: (DataError, "it is no regular file; name one"),
    errno.EBADF: (DataError, "it was closed, or opened to be read; give it a file or a terminal"),
    errno.ESPIPE: (DataError, "it is no regular file; name one"),
    errno.EIO: (DataError, "the disk or the network behind it does not answer; look at the machine's log"),
    errno.EACCES: (AccessError, "this user may not; change its owner or mode (chown, chmod)"),
    errno.EPERM: (AccessError, "this user may not; change its owner or mode (chown, chmod)"),
    errno.EROFS: (AccessError, "the file system can only be read; name another folder"),
    errno.ETXTBSY: (AccessError, "another process runs it; wait for that, or name another file"),
    errno.ENOSPC: (NoSpaceError, "make room, or name a place on another disk"),
    errno.EDQUOT: (NoSpaceError, "make room, or ask for a larger quota"),
    errno.EFBIG: (NoSpaceError, "files may not be that large here; raise the limit: ulimit -f unlimited"),
    errno.ENOMEM: (NoSpaceError, "free memory, or raise the limit: ulimit -v unlimited"),
    errno.EMFILE: (NoSpaceError, "this process may not open more files; raise the limit: ulimit -n 4096"),
    errno.ENFILE: (NoSpaceError, "this machine may not open more files; raise fs.file-max"),
    errno.EAGAIN: (NoSpaceError, "no more processes or threads; raise the limit: ulimit -u"),
}
"""What an error of the operating system means to a person, and what is to be done."""


_LIMITS = {
    errno.EMFILE: os.strerror(errno.EMFILE),
    errno.ENOMEM: os.strerror(errno.ENOMEM),
    errno.EAGAIN: "can't start new thread",  # Python's words
}
"""What libraries say, in errors of their own, of a limit that was reached."""


def as_ours(error: BaseException) -> AlmaError | None:
    """What an error that is none of alma's says of the world outside; ``None`` where it says that alma is at fault."""
    if isinstance(error, KeyboardInterrupt | Terminated):
        return Stopped("stopped as asked; run the same command again to resume")
    if isinstance(error, MemoryError):
        return NoSpaceError("memory is full; free some, raise the limit (ulimit -v unlimited), or give less at once")
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        around = str(error.object)[max(0, error.start - 20) : error.end + 20]
        return DataError(f"{around!r} holds half a character (a lone surrogate); save the text as UTF-8")
    if isinstance(error, ConnectionError | TimeoutError):
        return TransientError(f"{error or type(error).__name__}; try again")
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from"):  # pathlib's, for ELOOP
        return DataError(f"{str(error)[18:]}: {REMEDIES[errno.ELOOP][1]}")
    limit = next((number for number, words in _LIMITS.items() if words in str(error)), None)
    if limit is not None:  # a library that cannot load another one, or start a thread
        return NoSpaceError(f"{error}: {REMEDIES[limit][1]}")
    return None


def _of_the_system(error: OSError) -> AlmaError | None:
    places = [each for each in (error.filename, error.filename2) if each is not None]
    if error.errno == errno.ENOENT and not places:
        return DataError("the working directory is not there any more; change into one that is")
    if error.errno not in REMEDIES:
        return None
    kind, remedy = REMEDIES[error.errno]
    if not places and (kind is NoSpaceError or error.errno == errno.EBADF):
        places = ["standard output, or a file that was being written"]
    where = " → ".join(os.fsdecode(each) if isinstance(each, str | bytes) else str(each) for each in places)
    return kind(f"{where + ': ' if where else ''}{error.strerror}: {remedy}")


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

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
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
