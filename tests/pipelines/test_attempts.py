"""Runs that fail: which are submitted again, and what is told of it; real processes, signals and servers."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.runs.attempts import LONGEST_PAUSE_SECONDS, pause_before
from pipelines.runs.causes import causes
from pipelines.runs.kube import Kube, UnknownError
from pipelines.runs.pods import PodEnd
from tests.builders.kfp_stub import KfpStub
from tests.builders.kubernetes_stub import JobsStub
from tests.builders.submitting import (
    JOB,
    KEYS,
    Pipelines,
    all_done,
    ended,
    events,
    frame,
    pod_of,
    tell,
    wait_for,
)

QUICK = ("--poll", "0.1", "--lost-after", "20", "--refused-after", "3", "--log", "json", "--follow", "--pause", "0.2")
STEP = "round 02 · respond"
TASK = f"for-loop-3.iteration-item-0.{KEYS['respond 2']}"


@pytest.fixture
def stub() -> KfpStub:
    stub = KfpStub()
    stub.script = [all_done()]
    return stub


def fails(then: Callable[[str], None]) -> list[dict[str, Any]]:
    """The script of a run whose second step fails."""
    over = frame("FAILED", preflight="SUCCEEDED", respond_2=["FAILED", "SUCCEEDED"])
    return [frame("RUNNING", preflight="RUNNING"), {**over, "then": then}]


def telling(store: Path, code: int, kind: str, message: str) -> Callable[[str], None]:
    return lambda run: tell(store, run, STEP, "failed", exit_code=code, kind=kind, message=message)


def submit(package: Path, store: Path, *words: str, attempts: int = 3) -> tuple[str | Path, ...]:
    return ("submit", package, "--set", f"store={store}", "--attempts", str(attempts), *QUICK, *words)


def test_what_may_pass_is_submitted_again(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, tmp_path: Path
) -> None:
    stub.scripts = {0: fails(telling(tmp_path, 75, "StoreUnavailableError", "the store does not answer"))}
    done = pipelines(*submit(package, tmp_path), **JOB)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [run["run_id"] for run in stub.runs]
    name = f"{JOB['JOB_NAME']} · 1"
    assert [run["display_name"] for run in stub.runs] == [name, f"{name} · attempt 2"]
    assert stub.runs[0]["runtime_config"] == stub.runs[1]["runtime_config"]
    (again,) = events(done, "resubmitting")
    assert (again["attempt"], again["seconds"]) == (2, 0)
    assert again["causes"][0]["task"] == STEP
    assert "the store does not answer (StoreUnavailableError, exit code 75)" in again["causes"][0]["why"]
    noted = jobs.jobs[f"{JOB['POD_NAMESPACE']}/{JOB['JOB_NAME']}"]["metadata"]["annotations"]
    assert {key: noted[f"alma/{key}"] for key in ("run-id", "state", "attempt", "rounds", "percent")} == {
        "run-id": stub.runs[1]["run_id"],
        "state": "succeeded",
        "attempt": "2",
        "rounds": "3/3",
        "percent": "100",
    }
    assert [(event["reason"], event["type"]) for event in jobs.events] == [
        ("StepFailed", "Warning"),
        ("Resubmitting", "Warning"),
        ("RunSucceeded", "Normal"),
    ]
    assert jobs.events[0]["involvedObject"]["uid"] == JOB["JOB_UID"]


@pytest.mark.parametrize(("code", "kind"), [(2, "DataError"), (1, "StageError"), (1, "RuntimeError")])
def test_what_cannot_pass_is_not(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path, code: int, kind: str
) -> None:
    stub.script = fails(telling(tmp_path, code, kind, "line 3 of seeds.jsonl is no JSON"))
    done = pipelines(*submit(package, tmp_path))
    assert done.returncode == 1, done.stderr
    assert len(stub.runs) == 1
    assert f"{STEP}: line 3 of seeds.jsonl is no JSON ({kind}, exit code {code})" in done.stderr


def event(code: int) -> str:
    said = {"event": "error", "kind": "TransientError", "message": "an input is gone", "exit": code}
    return "loading\n" + json.dumps(said)


PODS: dict[str, tuple[dict[str, Any], str, bool, str]] = {
    "killed": (ended(137), "", True, "it was killed (SIGKILL)"),
    "out of memory": (ended(137, "OOMKilled"), "half way", True, "it was killed for its memory"),
    "evicted": ({"phase": "Failed", "reason": "Evicted", "message": "disk is low"}, "", True, "disk is low"),
    "preempted": (
        ended(143, conditions=[{"type": "DisruptionTarget", "status": "True", "message": "for another"}]),
        "",
        True,
        "for another",
    ),
    "75 in its log": (ended(1), event(75), True, "an input is gone (TransientError, exit code 75)"),
    "2 in its log": (ended(1), event(2), False, "an input is gone"),
    "store away": (ended(1), "dial tcp 10.0.0.1:9000: connect: connection refused", True, "connection refused"),
    "1": (ended(1), "ValueError: x", False, "it ended with exit code 1"),
    "deadline": ({"phase": "Failed", "reason": "DeadlineExceeded"}, "", False, "time limit"),
}


@pytest.mark.parametrize("how", PODS)
def test_pods_tell_what_their_steps_could_not(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, tmp_path: Path, how: str
) -> None:
    """The store is out of reach, so that only the pods are left to ask."""
    status, log, passes, said = PODS[how]

    def then(run: str) -> None:
        jobs.pods = [pod_of(run, TASK, status)]
        jobs.logs = {jobs.pods[0]["metadata"]["name"]: log}

    stub.scripts = {0: fails(then)}
    done = pipelines(*submit(package, tmp_path / "nothing"), **JOB)
    assert (done.returncode, len(stub.runs)) == ((0, 2) if passes else (1, 1)), done.stderr
    assert said in done.stderr
    if passes:
        (cause,) = events(done, "resubmitting")[0]["causes"]
        assert cause["task"] == STEP
        assert cause["lines"] == log.splitlines()


def test_a_step_that_ended_without_a_word_is_tried_again(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path
) -> None:
    """As from a laptop, which can ask no cluster: the entry says running, and the run has failed."""
    stub.scripts = {0: fails(lambda run: tell(tmp_path, run, STEP, "running"))}
    done = pipelines(*submit(package, tmp_path))
    assert (done.returncode, len(stub.runs)) == (0, 2), done.stderr
    assert "it ended without a word" in events(done, "resubmitting")[0]["causes"][0]["why"]


def test_when_attempts_are_exhausted_all_causes_are_told(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path
) -> None:
    for number, message in enumerate(["the first", "the second"]):
        stub.scripts[number] = fails(telling(tmp_path, 75, "TransientError", message))
    done = pipelines(*submit(package, tmp_path, attempts=2))
    assert (done.returncode, len(stub.runs)) == (1, 2), done.stderr
    for said in ("attempt 1: the run", "the first", "attempt 2: the run", "the second", "attempt 2 of 2"):
        assert said in done.stderr


def test_a_job_started_again_goes_on_with_the_latest_attempt(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path
) -> None:
    stub.scripts = {
        0: fails(telling(tmp_path, 75, "TransientError", "once")),
        1: [frame("RUNNING", preflight="RUNNING")],
    }
    words = submit(package, tmp_path)

    def second_is_followed() -> bool:
        return len(stub.runs) == 2 and stub.frames[stub.runs[1]["run_id"]] >= 0

    killed = pipelines.stop_after(second_is_followed, *words, send=signal.SIGKILL, **JOB)
    assert killed.returncode == -signal.SIGKILL
    stub.scripts[1] = fails(telling(tmp_path, 75, "TransientError", "twice"))
    again = pipelines(*words, **JOB)
    assert (again.returncode, len(stub.runs)) == (0, 3), again.stderr
    assert [(e["attempt"], e["created"]) for e in events(again, "submitted")] == [(2, False), (3, True)]
    assert again.stdout.split() == [run["run_id"] for run in stub.runs[1:]]
    once_more = pipelines(*words, **JOB)
    assert (once_more.returncode, len(stub.runs)) == (0, 3), once_more.stderr


def test_a_run_that_somebody_stopped_is_not_submitted_again(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path
) -> None:
    """Terminating leaves a step without a word, as a kill does."""
    stub.script = [
        {**frame("RUNNING", preflight="RUNNING"), "then": lambda run: tell(tmp_path, run, "preflight", "running")}
    ]
    process = pipelines.start(*submit(package, tmp_path))
    wait_for(lambda: bool(stub.frames) and min(stub.frames.values()) >= 0)
    assert pipelines("stop", stub.runs[0]["run_id"]).returncode == 0
    _, error = process.communicate(timeout=90)
    assert (process.returncode, len(stub.runs)) == (1, 1), error
    assert "is canceled" in error
    details = stub.runs[0]["run_details"]["task_details"]
    assert {d["display_name"]: d["state"] for d in details}["work"] == "SUCCEEDED", "the exit task runs"


def test_a_job_without_the_right_to_note_it_is_followed_all_the_same(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, tmp_path: Path
) -> None:
    jobs.refused = {"patch jobs", "create events"}
    stub.script = [frame("RUNNING", preflight="RUNNING"), frame("RUNNING", preflight="SUCCEEDED"), all_done()]
    done = pipelines(*submit(package, tmp_path), **JOB)
    assert done.returncode == 0, done.stderr
    told = {event["what"]: event["message"] for event in events(done, "notices")}
    assert len(events(done, "notices")) == 2
    assert "needs patch on jobs" in told["annotations"]
    assert "needs create on events" in told["events"]


def test_a_pod_that_cannot_begin_is_told_with_what_to_mend(
    stub: KfpStub, pipelines: Pipelines, jobs: JobsStub, package: Path, tmp_path: Path
) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    status = {
        "phase": "Pending",
        "containerStatuses": [{"name": "main", "image": "alma-trl:2", "state": {"waiting": waiting}}],
    }

    def then(run: str) -> None:
        jobs.pods = [pod_of(run, TASK, status)]
        time.sleep(0.2)

    stub.script = [{**frame("RUNNING", respond_2=["PENDING", "PENDING"]), "then": then}] * 8 + [all_done()]
    done = pipelines(*submit(package, tmp_path, "--stuck-after", "0.3"), **JOB)
    assert done.returncode == 0, done.stderr
    (told,) = events(done, "stuck")
    assert told["message"].startswith(f"{STEP}: the image alma-trl:2 cannot be pulled (no such image); mend the form's")
    assert "PodStuck" in [event["reason"] for event in jobs.events]


def test_attempts_need_somebody_who_looks(pipelines: Pipelines, package: Path) -> None:
    done = pipelines("submit", package, "--set", "store=a", "--attempts", "2")
    assert (done.returncode, "needs --follow" in done.stderr) == (2, True), done.stderr
    done = pipelines("submit", package, "--set", "store=a", "--attempts", "0")
    assert done.returncode == 2


def test_pauses_grow_and_are_bounded() -> None:
    assert [pause_before(attempt, 60.0) for attempt in (2, 3, 4, 5)] == [0, 60, 120, 240]
    assert pause_before(1000, 60.0) == LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("code", ['"x"', "[1]", "1e400", "null", "true"])
def test_a_line_of_a_log_may_hold_anything(code: str) -> None:
    line = f'{{"event": "error", "exit": {code}, "kind": "K", "message": "m"}}'
    (cause,) = causes([], {}, [PodEnd("p", "step", 1, "exit", "it ended", (line,))])
    assert (cause.why, cause.passes) == ("m (K, exit code 1)", False)


@pytest.mark.parametrize("answer", [b"[]", b"null", b"{}", b'{"items": [5]}', b'{"items": [{}]}'])
def test_what_is_no_answer_of_kubernetes_ends_nothing(answer: bytes) -> None:
    kube = object.__new__(Kube)
    kube._core = kube._batch = type("Api", (), {"__getattr__": lambda *_: answered})()
    answered = lambda *_, **__: type("Answer", (), {"data": answer})  # noqa: E731
    kube._client = type("Client", (), {"ApiException": ZeroDivisionError})
    with pytest.raises(UnknownError, match="does not answer as a Kubernetes API does"):
        kube.job("name", "team")
    if answer != b"{}":  # a list of nothing may be written so
        with pytest.raises(UnknownError, match="does not answer as a Kubernetes API does"):
            kube.pods("team", "a=b")
