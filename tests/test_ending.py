"""How a command ends: one plain sentence, a documented status, and a traceback only where alma is at fault."""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma import ending
from alma.ending import MOST_CHARS, Parser, end, spelt, tell
from alma.errors import AccessError, DataError, NoSpaceError, Stopped, TransientError, UserError
from alma.remedies import REMEDIES, as_ours


@given(st.text(st.characters(codec=None), max_size=200), st.integers(1, 100))
def test_a_message_is_short_and_obeyed_by_no_terminal(text: str, times: int) -> None:
    said = spelt(text * times)
    assert len(said) <= MOST_CHARS + 3
    assert all(c.isprintable() or c == "\n" for c in said)


def test_a_long_message_keeps_its_place_and_its_remedy() -> None:
    said = spelt("a.jsonl line 3: " + "x" * 10_000 + "; write it anew")
    assert said.startswith("a.jsonl line 3")
    assert said.endswith("; write it anew")
    assert spelt("\x1b[31m\x00\u202e\ud800\nb") == "\\x1b[31m\\x00\\u202e\\ud800\nb"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        pytest.param(OSError(errno.ENAMETOOLONG, "too long", "n" * 300), DataError, "shorter", id="name"),
        pytest.param(OSError(errno.EACCES, "denied", b"/a\xff"), AccessError, "chmod", id="access"),
        pytest.param(OSError(errno.EMFILE, "many", "x"), NoSpaceError, "ulimit -n", id="files"),
        pytest.param(
            OSError(errno.ENOSYS, "no function", "a", None, "b"), DataError, "a → b: no function: the", id="no rename"
        ),
        pytest.param(FileNotFoundError(errno.ENOENT, "none"), DataError, "working directory", id="directory"),
        pytest.param(MemoryError(), NoSpaceError, "ulimit -v", id="memory"),
        pytest.param(ImportError(f"x.so: {os.strerror(errno.ENOMEM)}"), NoSpaceError, "ulimit -v", id="import"),
        pytest.param(
            ImportError("libparquet.so: failed to map segment from shared object"), NoSpaceError, "ulimit -v", id="map"
        ),
        pytest.param(
            RuntimeError("I/O error: No space left on device (os error 28)"), NoSpaceError, "make room", id="disk"
        ),
        pytest.param(RuntimeError("can't start new thread"), NoSpaceError, "ulimit -u", id="thread"),
        pytest.param(RuntimeError("Symlink loop from '/a'"), DataError, "'/a': its symbolic links", id="links"),
        pytest.param(KeyboardInterrupt(), Stopped, "resume", id="interrupt"),
        pytest.param(ConnectionResetError("reset"), TransientError, "try again", id="connection"),
        pytest.param(
            UnicodeEncodeError("utf-8", "a\ud800", 1, 2, "surrogates not allowed"), DataError, "half", id="half"
        ),
    ],
)
def test_what_the_system_refuses_is_said_with_a_remedy(error: BaseException, kind: type[Exception], said: str) -> None:
    ours = as_ours(error)
    assert type(ours) is kind
    assert said in str(ours)


@pytest.mark.parametrize(("limit", "most"), [("AS", 2**29), ("DATA", 2**26)])
@pytest.mark.timeout(60)
def test_too_little_memory_is_said_before_a_library_is_loaded(limit: str, most: int) -> None:
    """One would be said to be damaged, and another one waits for ever."""
    which = getattr(resource, f"RLIMIT_{limit}")
    done = subprocess.run(
        [sys.executable, "-m", "alma", "status", "--store", "."],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(which, (most, most)),
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"alma: this process may have {most // 2**20} MiB of memory (ulimit -")


def test_a_library_that_makes_an_error_of_a_signal_is_not_at_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ending, "_heard", [KeyboardInterrupt])
    assert tell("alma", ValueError("Error calling function: KeyboardInterrupt")) == 75
    assert capsys.readouterr().err == "alma: stopped as asked; run the same command again to resume\n"


def test_a_call_that_the_system_does_not_have_is_no_fault_of_a_file() -> None:
    assert as_ours(OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))) is None


def test_every_remedy_is_of_an_error_of_the_user() -> None:
    assert all(issubclass(kind, UserError) and remedy for kind, remedy in REMEDIES.values())


def test_a_fault_of_ours_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError) as caught:
        {}["a\x1b[31m"]
    assert tell("alma", caught.value) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "alma: this is a fault of alma, not yours: KeyError" in said
    assert "\x1b" not in said


def test_a_wrong_word_is_spelt_out_and_cut(capsys: pytest.CaptureFixture[str]) -> None:
    parser: argparse.ArgumentParser = Parser(prog="alma")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["\x1b[31m" + "x" * 100_000])
    said = capsys.readouterr().err
    assert "\\x1b[31mx" in said
    assert len(said) < MOST_CHARS + 200


def test_what_cannot_be_printed_is_no_success() -> None:
    code = f"import sys; sys.stdout = open('/dev/full', 'w'); {_ending('print(1)')}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "standard output: No space left" in done.stderr) == (2, True), done.stderr


def test_a_stream_that_was_closed_or_is_to_be_read_is_no_fault_of_ours() -> None:
    code = _ending("print(sys.stdin.read() or 'nothing')")
    run = ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, f"import sys; {code}"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "nothing\n"), done.stderr
    run = ["sh", "-c", 'exec "$0" -c "$1" 1<"$0"', sys.executable, _ending("print(1)")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("alma: standard output")
    assert "Bad file descriptor: it was closed, or opened to be read; give it a file" in done.stderr


def test_what_libraries_remark_is_spelt_out() -> None:
    code = (
        "import argparse, logging, warnings\nfrom alma.ending import end\n"
        "def do(_): logging.getLogger('x').warning('a %s', '\\x1b[2J'); warnings.warn('b \\x9b', stacklevel=1)\n"
        "end('alma', argparse.ArgumentParser(), [], do)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "a \\x1b[2J" in done.stderr
    assert "b \\x9b" in done.stderr
    assert all(character.isprintable() or character == "\n" for character in done.stderr)


def test_a_terminal_that_is_not_utf8_gets_what_it_can_show() -> None:
    code = _ending("print(chr(177), chr(0xd800))")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "\\xb1 \\ud800\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_so_once_and_exits_75(number: int) -> None:
    code = _ending("print(1, flush=True); import time; time.sleep(60)")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait() == 75
        assert process.stderr.read().startswith("alma: stopped as asked")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_before_it_begins_says_so_and_exits_75(tmp_path: Path, number: int) -> None:
    (tmp_path / "argparse.py").write_text("import time\nprint(1, flush=True)\ntime.sleep(60)\n", encoding="utf-8")
    both: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-m", "alma", "--help"], env=environment, **both) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "1\n", "it imports what it needs"
        process.send_signal(number)
        assert process.wait() == 75
        assert process.stderr.read() == "alma: stopped as asked; run the same command again to resume\n"


def test_a_second_signal_ends_a_run_at_once_with_75() -> None:
    code = (
        "import time\nfrom alma.running.stopping import stop_signals\nwith stop_signals():\n"
        "    print(1, flush=True)\n    while True: time.sleep(0.01)"
    )
    both: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **both) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait() == 75
        assert process.stderr.read() == "alma: stopped at once, as asked twice; run the same command again to resume\n"


def _ending(body: str) -> str:
    """A program that does ``body`` as a command."""
    lines = "; ".join(["import argparse", "from alma.ending import end"])
    return f"{lines}\ndef do(options):\n    {body}\nend('alma', argparse.ArgumentParser(), None, do)"


def test_a_status_is_returned_through_the_exit(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: argparse.Namespace) -> None:
        raise DataError("rows.jsonl: is empty; bring rows")

    with pytest.raises(SystemExit, match="2"):
        end("alma", Parser(prog="alma"), [], refuse)
    assert capsys.readouterr().err == "alma: rows.jsonl: is empty; bring rows\n"
