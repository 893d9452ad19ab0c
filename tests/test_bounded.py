"""What comes piece by piece is read as far as a bound, in bytes and in time."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import alma
from alma.bounded import TooLargeError, TooSlowError, bounded_memory, unbounded, within


def test_what_is_within_comes_as_it_came() -> None:
    assert list(within([b"ab", b"", b"c"], 3)) == [b"ab", b"", b"c"]
    assert list(within([], 0)) == []


@pytest.mark.parametrize(("most", "said"), [(2**20, "more than 1 MiB"), (1000, "more than 1,000 bytes")])
def test_what_goes_beyond_ends_at_once(most: int, said: str) -> None:
    came = 0

    def endless() -> object:
        nonlocal came
        while True:
            came += 500
            yield b"x" * 500

    with pytest.raises(TooLargeError, match=said):
        list(within(endless(), most))  # type: ignore[arg-type]
    assert most < came <= most + 500


def test_what_comes_too_late_ends() -> None:
    with pytest.raises(TooSlowError):
        list(within([b"a"], 1, time.monotonic() - 1))


LIMIT = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_AS)[0])"]


def test_a_process_inherits_no_bound_of_another_thread() -> None:
    begun, found = threading.Event(), []

    def start() -> None:
        begun.set()
        with unbounded():
            found.append(subprocess.run(LIMIT, capture_output=True, text=True, check=True).stdout)

    before = resource.getrlimit(resource.RLIMIT_AS)[0]
    other = threading.Thread(target=start)
    with bounded_memory(2**30):
        assert resource.getrlimit(resource.RLIMIT_AS)[0] != before
        other.start()
        assert begun.wait(60)
        time.sleep(0.2)
        assert not found
    other.join()
    assert int(found[0]) == before


def test_nothing_is_started_within_a_bound() -> None:
    with bounded_memory(2**30), pytest.raises(AssertionError, match="is started while"), unbounded():
        pass
    with unbounded():
        pass


def test_all_that_starts_processes_waits_for_bounds() -> None:
    started = 0
    for path in Path(alma.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        within = {
            id(call)
            for block in ast.walk(tree)
            if isinstance(block, ast.With) and any("unbounded()" in ast.unparse(item) for item in block.items)
            for call in ast.walk(block)
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("subprocess.Popen", "subprocess.run"):
                assert id(call) in within, f"{path}:{call.lineno}"
                started += 1
    assert started >= 6
