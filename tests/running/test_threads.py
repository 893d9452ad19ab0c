"""How threads wait: set where nobody has, before torch can be imported, and for every process below."""

import os
import subprocess
import sys

import pytest

from alma.running.threads import CHOSEN_BY, sleep_while_waiting


def test_threads_sleep_while_they_wait_and_their_number_is_left_alone() -> None:
    environment = {"PATH": "/bin"}
    sleep_while_waiting(environment)
    assert environment == {"PATH": "/bin", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_what_a_person_chose_stands(name: str) -> None:
    environment = {name: "1"}
    sleep_while_waiting(environment)
    assert environment == {name: "1"}


def test_the_command_line_sets_it_before_a_command_runs() -> None:
    code = (
        "import os, sys; from alma import cli\n"
        "cli.COMMANDS = (lambda commands: commands.add_parser('say').set_defaults(\n"
        "    do=lambda _: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)),)\n"
        "cli.main(['say'])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in CHOSEN_BY}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["PASSIVE", "False"]
