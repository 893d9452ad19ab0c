"""SIGTERM and Ctrl-C: when they stop the run and when they leave it alone; real processes, signals and servers."""

import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.builders.kfp_stub import KfpStub
from tests.builders.kubernetes_stub import JobsStub
from tests.builders.submitting import JOB, ROOT, Pipelines, all_done, events, frame, wait_for

QUICK = ("--poll", "0.1", "--lost-after", "20", "--refused-after", "3", "--stop-seconds", "10", "--log", "json")


@pytest.fixture
def stub() -> KfpStub:
    stub = KfpStub()
    stub.script = [frame("RUNNING", preflight="RUNNING")]
    return stub


ENDING: dict[str, dict[str, Any]] = {
    "deleted in the foreground": {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    "past its deadline": {
        "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}
    },
    "another of its name": {"metadata": {"uid": "another"}},
    "deleted": {},
}


@pytest.mark.parametrize("how", ENDING)
def test_a_job_that_ends_stops_its_run(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, how: str
) -> None:

    def deleted() -> bool:
        if not stub.frames or min(stub.frames.values()) < 0:
            return False
        jobs.jobs.clear()
        if ENDING[how]:
            jobs.add(JOB["POD_NAMESPACE"], JOB["JOB_NAME"], JOB["JOB_UID"], **ENDING[how])
        return True

    done = pipelines.stop_after(deleted, "submit", package, "--set", "store=a", "--follow", *QUICK, **JOB)
    assert done.returncode == 143, done.stderr
    assert stub.runs[0]["state"] == "CANCELED"
    assert events(done, "stopped")[0]["state"] == "canceled"


def test_a_job_deleted_while_a_new_pod_starts_stops_the_run_of_the_old_one(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path
) -> None:
    words = ("submit", package, "--set", "store=a", *QUICK)
    assert pipelines(*words, **JOB).returncode == 0
    jobs.jobs.clear()
    stub.fail("slow 3", path="/experiments$")
    asked = len(stub.seen)
    done = pipelines.stop_after(lambda: len(stub.seen) > asked + 1, *words, "--follow", **JOB)
    assert done.returncode == 143, done.stderr
    assert [run["state"] for run in stub.runs] == ["CANCELED"]


@pytest.mark.parametrize("environment", [JOB, {}], ids=["job", "person"])
def test_a_stop_in_the_midst_of_the_creation_knows_the_run(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, environment: dict[str, str]
) -> None:
    jobs.jobs.clear()
    stub.fail("slow 2", method="POST", path="/runs$")
    words = ("submit", package, "--set", "store=a", "--follow", "--stop-when-unsure", *QUICK)
    done = pipelines.stop_after(lambda: ("POST", "/apis/v2beta1/runs") in stub.seen, *words, **environment)
    assert done.returncode == 143, done.stderr
    assert [run["state"] for run in stub.runs] == ["CANCELED"]


def test_an_evicted_pod_leaves_the_run_to_the_next(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path
) -> None:
    words = ("submit", package, "--set", "store=a", "--follow", *QUICK)
    evicted = pipelines.stop_after(lambda: bool(stub.frames) and min(stub.frames.values()) >= 0, *words, **JOB)
    assert (evicted.returncode, "goes on" in evicted.stderr) == (75, True), evicted.stderr
    assert jobs.seen, "the Job was not asked for"
    assert stub.runs[0]["state"] == "RUNNING"
    stub.script = [all_done()]
    again = pipelines(*words, **JOB)
    assert (again.returncode, again.stdout) == (0, evicted.stdout)
    assert len(stub.runs) == 1


@pytest.mark.parametrize(
    ("words", "in_job", "status", "state"),
    [
        pytest.param([], True, 75, "RUNNING", id="unsure"),
        pytest.param(["--stop-when-unsure"], True, 143, "CANCELED", id="unsure-stop"),
        pytest.param([], False, 75, "RUNNING", id="no-job"),
        pytest.param(["--stop-when-unsure"], False, 143, "CANCELED", id="no-job-stop"),
        pytest.param(["--keep-on-stop"], True, 75, "RUNNING", id="keep"),
    ],
)
def test_without_the_kubernetes_api_the_settings_decide(
    stub: KfpStub,
    pipelines: Pipelines,
    jobs: JobsStub,
    run_id: str,
    words: list[str],
    in_job: bool,
    status: int,
    state: str,
) -> None:
    jobs.forbidden = True
    done = pipelines.stop_after(
        lambda: stub.frames[run_id] >= 0, "follow", run_id, *QUICK, *words, **(JOB if in_job else {})
    )
    assert (done.returncode, stub.runs[0]["state"]) == (status, state), done.stderr
    assert "pipelines follow" in done.stderr or status == 143


def test_a_run_that_is_slow_to_stop_is_left_stopping(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    stub.looks_until_canceled = 10**6
    words = ("follow", run_id, *QUICK, "--stop-when-unsure", "--stop-seconds", "2")
    done = pipelines.stop_after(lambda: stub.frames[run_id] >= 0, *words)
    assert (done.returncode, events(done, "stopped")[0]["state"]) == (143, "canceling"), done.stderr
    slow = pipelines("stop", run_id, "--stop-seconds", "1")
    assert (slow.returncode, "not within 1 s" in slow.stderr) == (75, True), slow.stderr
    assert events(slow, "stopping")[0]["seconds"] == 1.0


def stage_jobs(jobs: JobsStub, run_id: str) -> None:
    """A Job of one of the run's stages, and one of another run's."""
    ours = {"app.kubernetes.io/part-of": "alma", "app.kubernetes.io/component": "stage"}
    for name, run in (("alma-respond-1", run_id), ("alma-respond-2", "another")):
        jobs.add(JOB["POD_NAMESPACE"], name, f"uid-{name}", metadata={"labels": {**ours, "pipeline/runid": run}})


def test_stop_deletes_what_is_left_of_the_runs_jobs(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, run_id: str
) -> None:
    stage_jobs(jobs, run_id)
    done = pipelines("stop", run_id, "--namespace", JOB["POD_NAMESPACE"], "--log", "json")
    assert done.returncode == 0, done.stderr
    assert [event["job"] for event in events(done, "deleted")] == ["alma-respond-1"]
    assert set(jobs.jobs) == {f"team/{JOB['JOB_NAME']}", "team/alma-respond-2"}
    jobs.refused = {"get jobs"}
    done = pipelines("stop", run_id, "--namespace", JOB["POD_NAMESPACE"], "--log", "json")
    assert done.returncode == 0, done.stderr
    assert f"kubectl delete jobs -l pipeline/runid={run_id}" in events(done, "leftover")[0]["message"]


def test_a_deleted_job_takes_the_jobs_of_its_run_with_it(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path
) -> None:
    def deleted() -> bool:
        if not stub.frames or min(stub.frames.values()) < 0:
            return False
        jobs.jobs.clear()
        stage_jobs(jobs, stub.runs[0]["run_id"])
        return True

    done = pipelines.stop_after(deleted, "submit", package, "--set", "store=a", "--follow", *QUICK, **JOB)
    assert (done.returncode, stub.runs[0]["state"]) == (143, "CANCELED"), done.stderr
    assert list(jobs.jobs) == ["team/alma-respond-2"]


def test_ctrl_c_on_a_terminal_leaves_the_run_alone(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "follow", run_id, "--poll", "0.1"],
        cwd=ROOT,
        env=pipelines.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                return
            if not chunk:
                return
            shown.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for(lambda: "preflight: waiting → running" in shown.decode(errors="replace"))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=180) == 130
        reader.join(timeout=10)
    finally:
        process.kill()
        os.close(ours)
    text = shown.decode()
    assert f"python -m pipelines follow {run_id}" in text
    assert f"python -m pipelines stop {run_id}" in text
    assert "Traceback" not in text
    assert stub.runs[0]["state"] == "RUNNING"
