"""Following runs: what is told, what is survived; real processes and servers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.events import duration, plain
from tests.builders.kfp_stub import KfpStub
from tests.builders.stub_server import served
from tests.builders.submitting import KEYS, Pipelines, all_done, compile_small, events, frame, wait_for

QUICK = ("--poll", "0.1", "--lost-after", "20", "--refused-after", "3", "--log", "json")
SECRET = "eyJ-not-a-real-token-but-looked-for"
FRESH = "eyJ-the-next-token"

SCRIPT = [
    {"state": "PENDING"},
    frame("RUNNING", preflight="PENDING"),
    frame("RUNNING", preflight="RUNNING"),
    frame("RUNNING", preflight="SUCCEEDED", respond_2=["RUNNING", "PENDING"]),
    frame("RUNNING", preflight="SUCCEEDED", respond_2=["SUCCEEDED", "RUNNING"]),
    frame("RUNNING", preflight="SUCCEEDED", respond_2=["SUCCEEDED"] * 2, finetune_2="SUCCEEDED"),
    all_done(),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_small(tmp_path_factory.mktemp("package") / "small.yaml")


@pytest.fixture
def stub() -> KfpStub:
    stub = KfpStub()
    stub.script = SCRIPT
    return stub


@pytest.fixture
def pipelines(stub: KfpStub, tmp_path: Path) -> Iterator[Pipelines]:
    with served(stub) as host:
        command = Pipelines(tmp_path, host)
        yield command
        command.close()


@pytest.fixture
def run_id(pipelines: Pipelines, package: Path) -> str:
    done = pipelines("submit", package, "--set", "store=a", "--name", "mine")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_change_is_told_once(pipelines: Pipelines, run_id: str) -> None:
    done = pipelines("follow", run_id, *QUICK)
    assert done.returncode == 0, done.stderr
    told = [(e["task"], e["from"], e["to"]) for e in events(done, "task")]
    assert told[:6] == [
        ("preflight", "waiting", "pending"),
        ("preflight", "pending", "running"),
        ("round 02 · respond", "waiting", "running"),
        ("preflight", "running", "succeeded"),
        ("round 02 · respond", "running", "succeeded"),
        ("round 02 · finetune", "waiting", "succeeded"),
    ]
    assert len(told) == len(set(told))
    assert {task for task, _, _ in told} == set(labels())
    counts = [(e["rounds_done"], e["rounds"], e["tasks_done"], e["tasks"]) for e in events(done, "progress")]
    assert counts == [(0, 3, 0, 11), (0, 3, 1, 11), (0, 3, 2, 11), (1, 3, 4, 11), (3, 3, 11, 11)]
    assert events(done, "end")[0]["state"] == "succeeded"


def labels() -> list[str]:
    rounds = [f"round {n:02} · {what}" for n in (2, 3, 4) for what in ("respond", "finetune")]
    return ["preflight", "finish", *rounds]


def test_a_person_reads_lines(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    stub.script[-1]["began"] = {KEYS["respond 3"]: 3, KEYS["finetune 3"]: 3}
    text = [line[10:] for line in pipelines("follow", run_id, "--poll", "0.1", "--log", "text").stderr.splitlines()]
    assert "following mine: pending" in text
    assert "preflight: running → succeeded, 40 s" in text
    assert any(line.startswith("1 of 3 rounds, 4 of 11 tasks, ") for line in text)
    assert text[-1].startswith("mine: succeeded after ")


def test_the_time_left_is_that_of_the_rounds_left(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    """Round 02 began at 0 s, round 03 at 1,000 s; the clock is about there, so two rounds are left."""
    done = {"preflight": "SUCCEEDED", "respond_2": ["SUCCEEDED"] * 2, "finetune_2": "SUCCEEDED"}
    running = frame("RUNNING", {"respond_3": 100}, **done, respond_3=["RUNNING", "RUNNING"])
    stub.start = datetime.fromtimestamp(time.time() - 1000, UTC)
    stub.script = [running, running, all_done()]
    first = events(pipelines("follow", run_id, *QUICK), "progress")[0]
    assert first["left_seconds"] == pytest.approx(2000, abs=60)


def test_a_failed_run_says_what_and_where(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    failed = frame("FAILED", preflight="SUCCEEDED", respond_2=["FAILED", "SUCCEEDED"], finetune_2="DRIVER_FAILED")
    stub.script = [{**failed, "errors": {KEYS["respond 2"]: "out of memory\x1b[2J"}}]
    done = pipelines("follow", run_id, *QUICK)
    assert done.returncode == 1, done.stderr
    assert "round 02 · respond: out of memory" in done.stderr
    assert "round 02 · finetune: its driver failed" in done.stderr
    assert f"kubectl logs -n kubeflow -l pipeline/runid={run_id} -c main" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_run_stopped_by_another_hand_is_a_failure(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    stub.script = [frame("RUNNING", preflight="RUNNING")]
    process = pipelines.start("follow", run_id, *QUICK)
    stopped = pipelines("stop", run_id)
    assert stopped.returncode == 0, stopped.stderr
    _, error = process.communicate(timeout=60)
    assert (process.returncode, "is canceled" in error) == (1, True), error
    again = pipelines("stop", run_id)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("faults", [["503", "reset", "429", "html"], ["slow 3", "slow 3"]])
def test_bad_weather_is_survived(stub: KfpStub, pipelines: Pipelines, run_id: str, faults: list[str]) -> None:
    process = pipelines.start("follow", run_id, *QUICK, "--timeout", "1")
    wait_for(lambda: stub.frames[run_id] >= 0)
    for fault in faults:
        stub.fail(fault, path=run_id)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert '"event": "retry"' in error
    assert "Traceback" not in error


def test_lost_contact_is_worth_another_try(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    process = pipelines.start("follow", run_id, *QUICK, "--lost-after", "2")
    wait_for(lambda: stub.frames[run_id] >= 0)
    stub.fail("503", 99)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, "answers 503" in error) == (75, True), error
    assert '"event": "left"' in error


def test_a_token_that_expires_is_read_again(stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path) -> None:
    stub.tokens = {SECRET}
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    stub.script = [frame("RUNNING", preflight="RUNNING")]
    words = ("submit", package, "--set", "store=a", "--follow", *QUICK)
    process = pipelines.start(*words, KF_PIPELINES_SA_TOKEN_PATH=str(file))
    wait_for(lambda: bool(stub.frames) and min(stub.frames.values()) >= 0)
    stub.tokens = {FRESH}
    looks = len(stub.seen)
    wait_for(lambda: len(stub.seen) > looks + 2)
    file.write_text(FRESH)
    stub.script = [all_done()]
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert '"event": "retry"' in error
    assert SECRET not in out + error
    assert FRESH not in out + error


@pytest.mark.parametrize(("forbidden", "said"), [(False, "is it expired"), (True, "needs create, get, list")])
def test_who_stays_refused_is_told_why(
    stub: KfpStub, pipelines: Pipelines, run_id: str, tmp_path: Path, forbidden: bool, said: str
) -> None:
    (tmp_path / "token").write_text(SECRET)
    stub.tokens, stub.forbidden = (None, True) if forbidden else (set(), False)
    begin = time.monotonic()
    done = pipelines("follow", run_id, *QUICK, "--token-file", tmp_path / "token")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert time.monotonic() - begin > 2, "gave up before the kubelet could write a new token"
    assert SECRET not in done.stderr


def test_unknown_and_deleted_runs(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    for command in ("follow", "status", "stop"):
        done = pipelines(command, "no-such-run")
        assert (done.returncode, "no-such-run" in done.stderr) == (2, True), done.stderr
    process = pipelines.start("follow", run_id, *QUICK)
    wait_for(lambda: stub.frames[run_id] >= 0)
    stub.runs.clear()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, "was deleted" in error) == (1, True), error


def test_status_and_list(stub: KfpStub, pipelines: Pipelines, run_id: str, package: Path) -> None:
    stub.script = [{**frame("RUNNING", preflight="SUCCEEDED", respond_2=["SUCCEEDED", "PENDING"], finetune_3="FAILED")}]
    done = pipelines("status", run_id)
    assert done.returncode == 0, done.stderr
    head, summary, _, columns, *rows = done.stdout.splitlines()
    assert head == f"mine · {run_id}"
    assert summary.startswith("running, 0 of 3 rounds, 2 of 11 tasks, ")
    assert columns.split() == ["task", "state", "done", "took"]
    found = {row[:20].strip(): row[20:].split() for row in rows}
    assert found["round 02 · respond"][:2] == ["running", "1/2"]
    assert found["preflight"][0] == "succeeded"
    assert found["finish"] == ["waiting"]
    assert set(found) == set(labels())
    for i in range(3):
        assert pipelines("submit", package, "--set", "store=a", "--name", f"run-{i}").returncode == 0
    listed = pipelines("list", "--limit", "3", "--experiment", "alma").stdout.splitlines()
    assert [line.split()[1:3] for line in listed[1:]] == [[f"run-{i}", "pending"] for i in (2, 1, 0)]
    assert pipelines("list", "--experiment", "none").returncode == 2


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (273600, "3 d 04 h")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_control_characters_reach_no_terminal() -> None:
    assert plain("a\x1b[31m\u202eb\r\n") == "a·[31m·b·\n"
