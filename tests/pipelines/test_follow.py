"""Following runs: what is told, what is survived; real processes and servers."""

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from dateutil.tz import tzoffset

from pipelines.package import read_package, tasks_of
from pipelines.runs.events import Events, duration, plain
from pipelines.runs.steps import steps, when
from tests.builders.kfp_stub import KfpStub
from tests.builders.submitting import KEYS, ROOT, Pipelines, all_done, events, frame, tell, wait_for

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


@pytest.fixture
def stub() -> KfpStub:
    stub = KfpStub()
    stub.script = SCRIPT
    return stub


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
    counts = [(e["rounds_done"], e["rounds"], e["steps_done"], e["steps"]) for e in events(done, "progress")]
    assert list(dict.fromkeys(counts)) == [(0, 3, 0, 8), (0, 3, 1, 8), (1, 3, 3, 8), (3, 3, 8, 8)]
    assert [e["percent"] for e in events(done, "progress")][-2:] == [37, 100]
    assert events(done, "end")[0]["state"] == "succeeded"


def labels() -> list[str]:
    rounds = [f"round {n:02} · {what}" for n in (2, 3, 4) for what in ("respond", "finetune")]
    return ["preflight", "finish", *rounds]


def test_a_person_reads_lines(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    stub.script[-1]["began"] = {KEYS["respond 3"]: 3, KEYS["finetune 3"]: 3}
    text = [line[10:] for line in pipelines("follow", run_id, "--poll", "0.1", "--log", "text").stderr.splitlines()]
    assert "following mine: pending" in text
    assert "preflight: running → succeeded, 40 s" in text
    assert any(line.startswith("round 02: 1 of 3 rounds, 3 of 8 steps, 37%, ") for line in text)
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


def test_a_command_to_be_copied_is_one_command(stub: KfpStub, pipelines: Pipelines, run_id: str) -> None:
    stub.script = [frame("FAILED", preflight="FAILED")]
    for experiment in stub.experiments:
        experiment["namespace"] = "x; touch y #"
    done = pipelines("follow", run_id, *QUICK)
    assert f"kubectl get pods -n 'x; touch y #' -l pipeline/runid={run_id}" in done.stderr


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
    head, state, summary, _, columns, *rows = done.stdout.splitlines()
    assert head == f"mine · {run_id}"
    assert state.startswith("running, ")
    assert summary.startswith("round 02: 0 of 3 rounds, 1 of 8 steps, 18%, about ")
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


def test_a_run_is_followed_by_its_journal_once_the_server_reports_no_task(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path
) -> None:
    """Above 1 MiB of workflow the list of tasks stands still: in this one from the first task on."""
    store = tmp_path / "store"
    store.mkdir()
    stub.task_bytes = 2**20

    def working(run_id: str) -> None:
        now = time.time()
        tell(store, run_id, "preflight", "sealed")
        tell(store, run_id, "round 02 · respond", "published", shard="0-of-2", started=now - 60)
        more = {"done": 30, "total": 90, "unit": "responses", "tokens": 2400, "seconds": 4.0, "per_second": 7.5}
        tell(store, run_id, "round 02 · respond", "running", shard="1-of-2", left_seconds=8.0, **more)

    def done(run_id: str) -> None:
        for label in labels():
            tell(store, run_id, label, "sealed")

    begun = frame("RUNNING", preflight="RUNNING")
    stub.script = [begun, {**begun, "then": working}, {**all_done(), "then": done}]
    words = ("submit", package, "--set", f"store={store}", "--follow", *QUICK)
    followed = pipelines(*words)
    assert followed.returncode == 0, followed.stderr
    told = [(e["task"], e["from"], e["to"]) for e in events(followed, "task")]
    assert ("round 02 · respond", "waiting", "running") in told
    assert ("round 04 · finetune", "waiting", "sealed") in told
    shown = [e for e in events(followed, "progress") if "doing" in e]
    assert shown[0]["doing"] == {"round 02 · respond": "30/90 responses, 7.5/s, 600 tokens/s, about 8 s left"}
    assert (shown[0]["layer"], shown[0]["steps_done"], shown[0]["percent"]) == ("round 02", 1, 20)
    assert not events(followed, "store")
    (run,) = stub.runs
    status = pipelines("status", run["run_id"])
    assert status.returncode == 0, status.stderr
    assert status.stdout.startswith(f"alma-small · 1 · {run['run_id']}\nsucceeded, ")
    assert "3 of 3 rounds, 8 of 8 steps, 100%" in status.stdout
    assert "round 04 · finetune" in status.stdout


def test_a_store_out_of_reach_is_told_once(pipelines: Pipelines, run_id: str) -> None:
    done = pipelines("follow", run_id, *QUICK)
    assert done.returncode == 0, done.stderr
    (told,) = events(done, "store")
    assert "is no folder here, so this is what Kubeflow's server says" in told["message"]


def test_layers_with_tasks_of_one_key_are_told_apart() -> None:
    """Argo's graph: a layer is above its first task's driver, a task above its executor, which is above who waits."""
    tasks = tasks_of(read_package(ROOT / "pipelines" / "compiled" / "alma-micro.yaml")["pipeline_spec"])
    states = {"round 02": "SUCCEEDED", "round 03": "RUNNING"}
    made: list[SimpleNamespace] = []
    nothing = {"error": None, "state_history": [], "start_time": None, "end_time": None, "child_tasks": []}

    def node(name: str, state: str) -> None:
        above = made[-1:]
        made.append(SimpleNamespace(display_name=name, state=state, pod_name=f"wf-{len(made)}", **nothing))
        for parent in above:
            parent.child_tasks = [made[-1]]

    for layer, state in states.items():
        node(f"{layer.replace(' ', '-')}-driver", "SUCCEEDED")
        node(layer.replace(" ", "-"), state)
        for task in (task for task in tasks if task.label.startswith(layer)):
            node(f"{task.key}-driver", "SUCCEEDED")
            node(task.key, state)
            node("executor", state)
    found = {step.label: step.state for step in steps(tasks, made)}
    assert {label: state for label, state in found.items() if state != "waiting"} == {
        f"{layer} · {name}": said
        for layer, said in (("round 02", "succeeded"), ("round 03", "running"))
        for name in ("respond", "judge", "select", "finetune", "evaluate", "report")
    } | {"round 03 · evaluate outsider": "running"}
    assert {"base model", "seeds · hand on", "judge · distill", "preflight", "finish"} < set(found)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (273600, "3 d 04 h")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("mode", ["json", "text"])
def test_no_login_is_told(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    Events(mode).tell("retry", "http://me:SECRET@host/a does not answer", message="http://me:SECRET@host/a")
    assert capsys.readouterr().err.count("http://…@host/a") == 1


def test_control_characters_reach_no_terminal() -> None:
    assert plain("a\x1b[31m\u202eb\r\n") == "a·[31m·b·\n"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))), id="the end of years"),
        pytest.param(datetime(2024, 1, 1, tzinfo=tzoffset(None, 360_000)), id="no zone"),
    ],
)
def test_a_time_that_python_cannot_compute_with_is_none(value: datetime) -> None:
    assert when(value) is None
