"""Deletes what is left of a run's Kubernetes Jobs, by ``python -m cluster clean``.

In a process of its own, so that it has an end in time whatever the Kubernetes API does, and so that this package needs
neither the Jobs' package nor what that stands on. The run's own last task deletes its Jobs; this is for when it has
not.
"""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys

from pipelines.runs.events import Events
from pipelines.runs.kube import own_namespace, within_reach

CLEAN_SECONDS = 30.0


def clean(run_id: str, namespace: str | None, events: Events, seconds: float = CLEAN_SECONDS) -> None:
    """Deletes the Jobs of the run, in ``namespace`` (default: the pod's own). What hinders is told; nothing raises."""
    if not within_reach() or importlib.util.find_spec("cluster") is None:
        return
    command = [sys.executable, "-m", "cluster", "clean", "--run", run_id]
    where = namespace or own_namespace()
    command += ["--namespace", where] if where else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)  # noqa: S603
    except (subprocess.TimeoutExpired, OSError) as error:
        said = f"no answer in {seconds:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
    else:
        said = " ".join(done.stderr.split())[-300:] if done.returncode else ""
        for name in done.stdout.split() if not done.returncode else []:
            events.tell("deleted", f"deleted the Job {name}", job=name)
    if said:
        selector = shlex.quote(f"pipeline/runid={run_id}")
        text = f"Jobs of the run may be left ({said}); delete them with kubectl delete jobs -l {selector}"
        events.tell("leftover", text, run=run_id, message=text)
