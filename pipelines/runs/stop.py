"""``python -m pipelines stop``: stop a run and see it stopped."""

from __future__ import annotations

import argparse
import time
from typing import Any

from alma.arguments import positive
from alma.errors import ConfigError, TransientError
from pipelines.runs import client, leftover
from pipelines.runs.client import Api
from pipelines.runs.events import Events, add_option
from pipelines.runs.steps import ENDED, state_of

STOP_SECONDS = 20.0
"""Below the 30 that a pod has by default between SIGTERM and SIGKILL."""


def add_parser(commands: Any) -> None:
    """Adds ``stop`` to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "stop",
        help="stop a run",
        description="Stops a run. What its stages have published stays; a new run goes on from there.",
    )
    parser.add_argument("run_id", help="the run's id")
    parser.add_argument(
        "--stop-seconds",
        type=positive,
        default=300.0,
        metavar="SECONDS",
        help="wait so long for the run to have stopped (default: 300)",
    )
    add_option(parser)
    client.add_options(parser)
    parser.set_defaults(run=main)


def main(options: argparse.Namespace) -> None:
    """Runs the command. Raises ``TransientError`` when the run has not stopped in time."""
    events = Events(options.log)
    api = Api(options, events)
    seconds = options.stop_seconds
    events.tell("stopping", f"stopping the run; waits up to {seconds:g} s", run=options.run_id, seconds=seconds)
    state = stop_run(api, options.run_id, seconds)
    leftover.clean(options.run_id, options.namespace, events)
    events.tell("stopped", f"the run is {state.lower()}", run=options.run_id, state=state.lower())
    if state not in ENDED:
        raise TransientError(
            f"the run {options.run_id} is asked to stop and has not within {seconds:g} s; "
            "look again with 'python -m pipelines status'"
        )


def stop_run(api: Api, run_id: str, seconds: float) -> str:
    """Asks the server to terminate the run and waits for that. Returns the state it is in then.

    A run that has ended stays as it is. Raises as ``Api.ask`` does when the server cannot be told in time.
    """
    deadline = time.monotonic() + seconds
    try:
        api.ask(api.runs.run_service_terminate_run, run_id, seconds=seconds)
    except client.NotFoundError:
        raise
    except ConfigError:  # the server refuses for a run that has ended, or is being stopped already
        state = state_of(api.ask(api.runs.run_service_get_run, run_id, seconds=seconds))
        if state not in ENDED and state != "CANCELING":
            raise
    while True:
        left = deadline - time.monotonic()
        state = state_of(api.ask(api.runs.run_service_get_run, run_id, seconds=max(1.0, left)))
        if state in ENDED or left <= 0:
            return state
        time.sleep(min(1.0, left))
