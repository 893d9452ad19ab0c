"""One submission and its runs: the first attempt and, where that failed of what may pass, others.

Each run's description ends with ``submission <uid> attempt <n>``; the uid is the Job's in a Job, else random. So the
pod of a Job that is started again finds the latest attempt, and no two runs of one Job are ever made at once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alma.errors import TransientError
from alma.pace import BETWEEN
from pipelines.runs import client, experiments, names
from pipelines.runs.client import Api
from pipelines.runs.signals import postponed

SETTLE_SECONDS = 3.0
"""After a creation without an answer: how long the server may still take to store the run."""

CREATE_TRIES = 5


@dataclass(frozen=True)
class Attempt:
    """One run of the submission."""

    run: Any
    number: int

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.run.run_id)

    @property
    def name(self) -> str:
        """The run's name, without the number of the attempt."""
        return re.sub(f"{BETWEEN}attempt \\d+$", "", str(self.run.display_name))


@dataclass(frozen=True)
class Submission:
    """What names the runs of one submission on the server."""

    uid: str
    who: str
    """What all its runs' names begin with."""

    def latest(self, api: Api, experiment_id: str) -> Attempt | None:
        """The run of the latest attempt, or none."""
        page = ""
        while True:
            answer = api.ask(
                api.runs.run_service_list_runs,
                experiment_id=experiment_id,
                filter=experiments.display_name_has(self.who),
                sort_by="created_at desc",
                page_size=50,
                page_token=page,
            )
            found = [Attempt(run, number) for run in answer.runs or [] if (number := self.number_of(run))]
            if found:
                return max(found, key=lambda attempt: attempt.number)
            page = answer.next_page_token or ""
            if not page or not answer.runs:  # one that names a next page for ever
                return None

    def token(self, attempt: int) -> str:
        """How the description of that attempt's run ends."""
        return f"submission {self.uid} attempt {attempt}"

    def number_of(self, run: Any) -> int:
        """Which attempt of this submission ``run`` is; 0 for a run of another one."""
        found = re.search(rf"submission {re.escape(self.uid)} attempt (\d{{1,9}})$", run.description or "")
        return int(found[1]) if found else 0

    def create(self, api: Api, attempt: int, name: str, run_of: Callable[[str, str], Any]) -> Attempt:
        """Creates that attempt's run. ``run_of`` makes it of its name and token.

        Where an answer is lost, the run is looked for before it is created again.
        """
        run = run_of(names.of_attempt(name, attempt), self.token(attempt))
        for left in reversed(range(CREATE_TRIES)):
            try:
                with postponed():
                    made = api.once(api.runs.run_service_create_run, run, timeout=client.CREATE_SECONDS)
                return Attempt(made, attempt)
            except TransientError as error:
                api.events.tell("retry", f"{error}; looking whether the run was created", message=str(error))
                time.sleep(SETTLE_SECONDS)
                latest = self.latest(api, run.experiment_id)
                if latest and latest.number >= attempt:
                    return latest
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")
