"""A submission's runs, one after another: each is followed; where it failed of what may pass, there is a next one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alma.arguments import positive
from alma.errors import ConfigError
from pipelines.runs import experiments, follow, leftover
from pipelines.runs.causes import can_pass
from pipelines.runs.client import Api
from pipelines.runs.events import Events, duration
from pipelines.runs.follow import RunFailedError
from pipelines.runs.job import Job
from pipelines.runs.notices import Notices
from pipelines.runs.submission import Attempt, Submission

LONGEST_PAUSE_SECONDS = 900.0
"""Before another attempt."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds how often a run is submitted."""
    group = parser.add_argument_group(
        "attempts",
        "A followed run that failed of what may pass (exit code 75, out of memory, killed, a node or an image that "
        "went away) is submitted again; what is sealed is found, and work goes on from what was published. Never after "
        "exit code 2, or 1 without such a cause, or when somebody stopped the run. A Job counts over all of its pods.",
    )
    group.add_argument(
        "--attempts", type=count, default=1, metavar="N", help="runs in all; above 1 it needs --follow (default: 1)"
    )
    group.add_argument(
        "--pause",
        type=positive,
        default=60.0,
        metavar="SECONDS",
        help="before the third attempt (default: 60); the second comes at once, each later one after twice the pause "
        f"before, at most {LONGEST_PAUSE_SECONDS:g}",
    )


def count(text: str) -> int:
    """An argparse type: a whole number above 0."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 1000")
    return int(text)


def pause_before(attempt: int, seconds: float) -> float:
    """Seconds to wait before that attempt: none before the second, then ``seconds``, doubled each time."""
    return 0.0 if attempt <= 2 else float(min(LONGEST_PAUSE_SECONDS, seconds * 2.0 ** min(attempt - 3, 30)))


class Attempts:
    """The runs of one submission."""

    def __init__(
        self, api: Api, options: argparse.Namespace, events: Events, submission: Submission, job: Job | None
    ) -> None:
        self._api, self._options, self._events, self._submission = api, options, events, submission
        self._notices = Notices(job, events)
        self._latest: Attempt | None = None
        self._perhaps = job is not None
        """Whether there may be a run that we do not know of: an earlier pod's, or one whose answer we miss."""

        self._experiment_id = ""
        self._run_of: Callable[[str, str], Any] | None = None
        self._failures: list[tuple[int, RunFailedError]] = []

    def known(self) -> str | None:
        """The id of the latest run, for a stop in the midst of whatever it is."""
        if self._perhaps:
            namespace = experiments.namespace_of(self._api, self._options.namespace)
            place = experiments.find(self._api, experiments.name_of(self._options.experiment), namespace)
            found = self._submission.latest(self._api, place.experiment_id) if place else None
            self._latest = found or self._latest
        return self._latest.run_id if self._latest else None

    def begin(
        self, experiment_id: str, name: Callable[[], str], run_of: Callable[[str, str], Any], *, look: bool
    ) -> str:
        """The id of the run to follow: with ``look`` the latest that is there, else a new one.

        ``run_of`` makes a run of its name and token.
        """
        self._experiment_id, self._run_of = experiment_id, run_of
        found = self._submission.latest(self._api, experiment_id) if look else None
        made = found or self._create(1, name())
        self._latest, self._perhaps = made, False
        self._tell("found the run that this Job has created" if found else "created", created=found is None)
        return made.run_id

    def follow(self) -> None:
        """Follows the latest run to its end, and those that come after it. Raises ``RunFailedError``."""
        while True:
            assert self._latest, "begin() comes first"
            run = self._latest
            try:
                follow.follow(self._api, run.run_id, self._options, self._events, self._notices, run.number)
            except RunFailedError as error:
                self._failures.append((run.number, error))
                leftover.clean(run.run_id, self._options.namespace, self._events)
                self._again(run, error)
            else:
                self._notices.say("RunSucceeded", f"{run.run.display_name} has succeeded")
                return

    def _again(self, run: Attempt, error: RunFailedError) -> None:
        """The next attempt. Raises ``RunFailedError`` where there is none."""
        number, limit = run.number + 1, int(self._options.attempts)
        why = "; ".join(f"{cause.label}: {cause.why}" for cause in error.causes) or str(error).splitlines()[0]
        if error.state != "failed" or not can_pass(error.causes) or number > limit:
            self._notices.say("RunFailed", f"{run.run.display_name} is {error.state}: {why}", warning=True)
            raise self._all(limit if can_pass(error.causes) and error.state == "failed" else 0) from None
        pause = pause_before(number, float(self._options.pause))
        when = f"in {duration(pause)}" if pause else "at once"
        text = f"attempt {run.number} of {limit} failed of what may pass; submitting the run again {when}: {why}"
        said = [{"task": cause.label, "why": cause.why, "lines": list(cause.lines)} for cause in error.causes]
        shown = "\n".join([text, *(f"  {line}" for cause in error.causes for line in str(cause).splitlines())])
        self._events.tell("resubmitting", shown, run=run.run_id, attempt=number, seconds=round(pause), causes=said)
        self._notices.say("Resubmitting", text, warning=True)
        time.sleep(pause)
        self._perhaps = True
        there = self._submission.latest(self._api, self._experiment_id)
        found = there if there and there.number >= number else None
        self._latest = found or self._create(number, run.name)
        self._perhaps = False
        self._tell("found the next attempt's run" if found else f"created attempt {number}", created=found is None)

    def _all(self, limit: int) -> RunFailedError:
        """What all attempts of this process failed of; ``limit`` where there are no more of them."""
        _, last = self._failures[-1]
        told = (
            [f"attempt {number}: {error}" for number, error in self._failures]
            if len(self._failures) > 1
            else [str(last)]
        )
        if limit > 1:
            told.append(f"that was attempt {limit} of {limit}; submit it again to go on from what is sealed")
        return RunFailedError("\n".join(told), last.state, last.causes)

    def _create(self, number: int, name: str) -> Attempt:
        assert self._run_of, "begin() says how a run is made"
        self._perhaps = True
        return self._submission.create(self._api, number, name, self._run_of)

    def _tell(self, how: str, *, created: bool) -> None:
        assert self._latest, "there is a run to tell of"
        made = self._latest
        name = str(made.run.display_name)
        self._events.tell(
            "submitted",
            f"{how}: {name}, {made.run_id}",
            run=made.run_id,
            name=name,
            created=created,
            attempt=made.number,
        )
        if self._options.id_file:
            write(self._options.id_file, made.run_id)
        print(made.run_id, flush=True)  # noqa: T201


def write(path: Path, run_id: str) -> None:
    """Whole or not at all. Raises ``ConfigError``: the run is there, and its id is in the message."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(f"{run_id}\n", encoding="ascii")
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"--id-file {path}: {error.strerror}; the run {run_id} is created") from None
