"""What becomes of the run when the process that attends it is told to end.

SIGTERM in a Job's pod means "stop the run" only if the Job itself comes to its end; the status is 143 (128 + SIGTERM)
then, as of any process that ended because it was asked to. When only the pod goes (an eviction, a drained node, a
suspended Job) the run is left to the next pod, and the status is 75, which a Job's policy reads as "start me again".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alma.arguments import positive
from alma.errors import Stopped
from pipelines.runs import leftover
from pipelines.runs.client import Api
from pipelines.runs.events import Events
from pipelines.runs.job import ending, own_job
from pipelines.runs.kube import UnknownError
from pipelines.runs.signals import Terminated
from pipelines.runs.stop import STOP_SECONDS, stop_run

EXIT_TERMINATED = 143


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what SIGTERM does."""
    group = parser.add_argument_group(
        "being told to end",
        "SIGTERM in the pod of a Job: the run is stopped (exit 143) when the Job is deleted or past its deadline, and "
        "left alone (exit 75) when only the pod goes, as in an eviction, or when the Kubernetes API cannot be asked. "
        "Outside a Job, and on Ctrl-C (exit 130), it is left alone.",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument("--keep-on-stop", action="store_true", help="never stop the run")
    either.add_argument(
        "--stop-when-unsure",
        action="store_true",
        help="on SIGTERM stop the run also outside a Job, or when the Kubernetes API cannot be asked",
    )
    group.add_argument(
        "--stop-seconds",
        type=positive,
        default=STOP_SECONDS,
        metavar="SECONDS",
        help=f"wait so long for the run to have stopped (default: {STOP_SECONDS:g}); twice that has to fit into the "
        "pod's terminationGracePeriodSeconds)",
    )


@contextmanager
def attended(api: Api, options: argparse.Namespace, events: Events, run_id: Callable[[], str | None]) -> Iterator[None]:
    """Decides on SIGTERM and Ctrl-C what becomes of the run. ``run_id`` may have to ask the server for it.

    Raises ``ConfigError`` where the environment names half a Job.
    """
    if own_job():
        import kubernetes.client  # noqa: F401 - now: on SIGTERM there is no time for it
    try:
        yield
    except KeyboardInterrupt:
        api.hurry(5.0)
        if run := run_id():
            events.tell("left", f"the run goes on. {how_to_go_on(run)}", run=run, reason="interrupted")
        raise
    except Terminated:
        api.hurry(options.stop_seconds)
        stop, reason = decide(options)
        run = run_id()
        if run is None:
            raise Stopped("told to stop by SIGTERM; no run was created") from None
        if not stop:
            raise Stopped(f"told to stop by SIGTERM; the run goes on: {reason}. {how_to_go_on(run)}") from None
        events.tell("stopping", f"stopping the run: {reason}", run=run, reason=reason)
        state = stop_run(api, run, options.stop_seconds)
        leftover.clean(run, options.namespace, events, seconds=min(leftover.CLEAN_SECONDS, options.stop_seconds))
        events.tell("stopped", f"the run is {state.lower()}", run=run, state=state.lower())
        sys.exit(EXIT_TERMINATED)


def decide(options: argparse.Namespace) -> tuple[bool, str]:
    """Whether SIGTERM means that the run is to stop, and why."""
    if options.keep_on_stop:
        return False, "--keep-on-stop"
    unsure = "no Job in the environment"
    if job := own_job():
        where = f"the Job {job.namespace}/{job.name}"
        try:
            end = ending(job)
        except UnknownError as error:
            unsure = f"{where} could not be asked for ({error})"
        else:
            return end is not None, f"{where} {end or 'goes on, so another pod will follow the run'}"
    return options.stop_when_unsure, unsure


def how_to_go_on(run_id: str) -> str:
    """The two commands that a person needs next."""
    return f"Follow it with 'python -m pipelines follow {run_id}', stop it with 'python -m pipelines stop {run_id}'"
