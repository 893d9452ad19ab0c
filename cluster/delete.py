"""Deletes the Jobs of a run: by whom the run ends with (its last task, the submitting Job, ``pipelines stop``)."""

from __future__ import annotations

from cluster.api import Api
from cluster.names import OURS, RUN, check_run, selector


def delete_jobs(run: str, api: Api) -> list[str]:
    """Deletes every Job of ``run`` and its pods; their names. The account needs list and delete on jobs.

    Pods have their grace to publish what they have. Raises ``ConfigError`` for what is no run's name.
    """
    found = api.jobs(selector({**OURS, RUN: check_run(run)}))
    for job in found:
        api.delete_job(job["metadata"]["name"], job["metadata"]["uid"])
    return sorted(job["metadata"]["name"] for job in found)
