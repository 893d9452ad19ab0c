import signal
import subprocess
import sys

import pytest

SWALLOWED = """
import os, sys
from pipelines.runs.signals import Terminated, check, listen

class Held:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))

listen()
check()
held = Held()
del held
print("dropped", flush=True)
try:
    check()
except (Terminated, KeyboardInterrupt) as error:
    print("raised", type(error).__name__)
"""


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "Terminated"), (signal.SIGINT, "KeyboardInterrupt")])
def test_a_signal_that_a_destructor_dropped_is_raised_again(number: signal.Signals, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED, str(int(number))], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["dropped", f"raised {name}"]
    assert "Exception ignored" in done.stderr
