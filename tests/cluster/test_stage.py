"""A stage as a Job: real processes and signals, against a stub of the cluster that counts failures as it does."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alma.artifact import Ref
from alma.config import read_tree
from alma.monitor import journal
from alma.running.lease import object_of
from alma.running.ledger import Ledger, Settings
from alma.running.stage import run
from alma.store import FolderStore
from tests.builders.embedding_job import MICRO, ROOT, RUN, SECTION, Command, cluster, is_first, prepared, script
from tests.builders.kubelet import Object, Pod
from tests.builders.kustomized import MANIFESTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

THREE = {"shards": 3, "retries": 2}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Ref]]:
    folder = tmp_path_factory.mktemp("prepared") / "store"
    return folder, prepared(folder)[1]


@pytest.fixture(scope="module")
def undisturbed(inputs: tuple[Path, dict[str, Ref]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Ref, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    shutil.copytree(inputs[0], folder)
    manifest = run("embed", SECTION, inputs[1], FolderStore(folder))
    return manifest.ref, manifest.to_bytes()


@pytest.fixture
def command(inputs: tuple[Path, dict[str, Ref]], tmp_path: Path) -> Iterator[Command]:
    shutil.copytree(inputs[0], tmp_path / "store")
    with cluster(tmp_path, FolderStore(tmp_path / "store"), inputs[1]) as command:
        yield command


def events(text: str, kind: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [event for event in found if kind in (None, event["event"])]


def said(text: str) -> str:
    return "\n".join(str(event["message"]) for event in events(text) if "message" in event)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process and process.communicate()
        time.sleep(0.02)


def manifest(command: Command, ref: Ref) -> bytes:
    return command.store.read(f"{ref}/manifest.json")


def running(command: Command) -> list[Pod]:
    return [pod for pod in command.stub.pods if pod.process and pod.ended is None]


def test_shards_make_what_one_process_makes(command: Command, undisturbed: tuple[Ref, bytes], tmp_path: Path) -> None:
    """With no more rights than the role of a run's pods gives."""
    roles = [item for item in yaml.safe_load_all((MANIFESTS / "base" / "run-role.yaml").read_text()) if "rules" in item]
    command.stub.rules = [rule for role in roles for rule in role["rules"]]
    command.stub.entry = lambda pod: script("slow.py", "0.1")
    done = command(THREE, "--out", str(tmp_path / "manifest"))
    assert done.returncode == 0, done.stderr
    ref, expected = undisturbed
    assert done.stdout.strip() == str(ref)
    assert manifest(command, ref) == expected == (tmp_path / "manifest").read_bytes()
    (job,) = command.stub.jobs
    assert job.startswith(f"alma-embed-{ref.key}-")
    assert sorted(pod.index for pod in command.stub.pods) == [0, 1, 2]
    assert events(done.stderr, "progress")[-1]["done"] == 598
    assert f"{job}: 0 of 3 pods done, 3 running" in said(done.stderr)
    seen = len(command.stub.seen)
    again = command(THREE)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert len(command.stub.seen) == seen, "what is sealed needs no cluster"


def test_settings_inputs_and_placement_come_from_the_ledger(command: Command) -> None:
    """As a task of a pipeline is started: what earlier layers made by label, the rest by the executor input."""
    tree = read_tree(MICRO.parent / "micro.toml", ["alma.engine='echo'", "alma.embed.part_rows=100"])
    placed = {"stages": {"embed": {"image": "alma-vllm", "cpu": "1", "shards": "3"}}}
    settings = Settings(method={"alma": tree["alma"]}, placement=placed).write(command.store)
    made = {f"made · {port}": str(ref) for port, ref in command.inputs.items()}
    state = Ledger(settings=settings, artifacts=made).write(command.store)
    parameters = {
        "store": command.store.uri,
        "state": state,
        "use": "embed",
        "change": "{}",
        "label": "prompts · embed",
    }
    parameters |= {f"in_{port}": f"@made · {port}" for port in command.inputs}
    given = json.dumps(
        {"inputs": {"parameterValues": parameters}, "outputs": {"outputFile": str(command.stub.folder / "output.json")}}
    )
    words = [
        sys.executable,
        "-m",
        "cluster",
        "stage",
        "embed",
        "--log",
        "json",
        "--poll",
        "0.1",
        "--executor-input",
        given,
    ]
    environment = command.environment | {"ALMA_RUN": RUN}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(pod.index for pod in command.stub.pods) == [0, 1, 2]
    files = json.loads(manifest(command, Ref.parse(done.stdout.strip())))["files"]
    assert [file["rows"] for file in files] == [100] * 5 + [98], "part_rows = 100 of the ledger's settings"


def test_a_single_pod_seals_by_itself(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    """And what it said of its work stays in the journal."""
    done = command({})
    assert done.returncode == 0, done.stderr
    assert manifest(command, undisturbed[0]) == undisturbed[1]
    (entry,) = journal.read(command.store, RUN)
    assert (entry.state, entry.done, entry.total) == ("sealed", 598, 598)


def test_a_shard_killed_once_is_tried_again(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    killed = script("killed.py", "after", r"^embed/.*parts/.*json$", "4")
    usual = command.stub.entry
    command.stub.entry = lambda pod: killed if is_first(pod, 1, command.stub) else usual(pod)
    done = command(THREE)
    assert done.returncode == 0, done.stderr
    assert [pod.ended for pod in command.stub.pods if pod.index == 1] == [137, 0]
    assert "(index 1) was killed by signal 9" in said(done.stderr)
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_a_shard_killed_again_and_again_fails_and_the_next_attempt_goes_on(
    command: Command, undisturbed: tuple[Ref, bytes]
) -> None:
    killed = script("killed.py", "after", r"^embed/.*parts/.*json$", "1")
    usual = command.stub.entry
    command.stub.entry = lambda pod: killed if pod.index == 1 else usual(pod)
    done = command(THREE)
    assert done.returncode == 75, done.stderr
    assert [pod.ended for pod in command.stub.pods if pod.index == 1] == [137] * 3
    assert "has failed after 2 retries (MaxFailedIndexesExceeded" in said(done.stderr)
    assert "(index 1) was killed by signal 9" in said(done.stderr)
    command.stub.entry = usual
    (old,) = command.stub.jobs.values()
    again = command(THREE)
    assert again.returncode == 0, again.stderr
    assert "it makes room for a new one" in said(again.stderr)
    (new,) = command.stub.jobs.values()
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_what_cannot_pass_fails_at_once(command: Command) -> None:
    """The pods' store is not theirs to read: exit 2, told as the pod told it."""
    usual = command.stub.entry
    command.stub.entry = lambda pod: (
        usual(pod) if pod.index else ["sh", "-c", f"exec {usual(pod)[0]} stage judge --log json"]
    )
    done = command(THREE)
    assert done.returncode == 2, done.stderr
    assert [pod.ended for pod in command.stub.pods if pod.index == 0] == [2]
    error = events(done.stderr, "error")[0]
    assert error["kind"] == "ConfigError"
    assert "(index 0) ended with 2: stage judge needs the input" in error["message"]
    assert [event for event in events(done.stderr, "note") if event.get("lines")]


def test_a_drained_node_is_not_counted(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    command.stub.entry = lambda pod: script("slow.py", "0.3")
    process = command.start({"shards": 3, "retries": 0})
    wait_for(lambda: len(list(command.store.list(f"{undisturbed[0]}/parts"))) > 8, process)
    before = set(command.store.list(f"{undisturbed[0]}/parts"))
    command.stub.disrupt(running(command)[0])
    command.stub.entry = lambda pod: script("slow.py", "0")
    _, err = process.communicate()
    assert process.returncode == 0, err
    drained = next(pod for pod in command.stub.pods if pod.conditions)
    assert drained.ended == 75, "it published the part that it was at"
    assert len(command.stub.pods) == 4
    assert before
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_a_coordinator_that_was_killed_finds_its_job(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    command.stub.entry = lambda pod: script("slow.py", "0.3")
    process = command.start(THREE)
    wait_for(lambda: len(running(command)) == 3, process)
    process.kill()
    process.communicate()
    assert len(running(command)) == 3
    done = command(THREE)
    assert done.returncode == 0, done.stderr
    assert len(command.stub.pods) == 3
    assert [seen for seen in command.stub.seen if seen[0] == "POST"] == [
        ("POST", "/apis/batch/v1/namespaces/team/jobs")
    ]
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_two_runs_share_the_job_of_one_artifact(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    """And when the run that made it is stopped, the other makes one of its own."""
    command.stub.entry = lambda pod: script("slow.py", "2")
    first = command.start(THREE)
    wait_for(lambda: len(running(command)) == 3, first)
    second = command.start(THREE, "--run", "another")
    assert second.stderr
    heard = next(line for line in second.stderr if "follows the Job" in line)
    assert f"of the run {RUN}" in heard
    command.stub.entry = lambda pod: script("slow.py", "0")
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate()
    assert first.returncode == 75, err
    assert "deleted the Job" in said(err)
    _, err = second.communicate()
    assert second.returncode == 0, err
    assert "with its run; makes one of its own" in said(err)
    (job,) = command.stub.jobs.values()
    assert job["metadata"]["labels"]["pipeline/runid"] == "another"
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_sigterm_deletes_the_job_and_its_pods_publish_their_part(
    command: Command, undisturbed: tuple[Ref, bytes]
) -> None:
    command.stub.entry = lambda pod: script("slow.py", "0.5")
    process = command.start(THREE)
    wait_for(lambda: command.store.list(f"{undisturbed[0]}/parts"), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert not command.stub.jobs
    wait_for(lambda: not running(command))
    assert {pod.ended for pod in command.stub.pods} == {75}
    assert len(command.store.list(f"{undisturbed[0]}/parts")) < 60


def test_pods_end_when_nobody_follows_them(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    command.stub.entry = lambda pod: script("slow.py", "0.3")
    lease = ("--lease-seconds", "1.5")
    process = command.start(THREE, *lease)
    wait_for(lambda: len(running(command)) == 3, process)
    process.kill()
    process.communicate()
    (name,) = command.stub.jobs
    assert json.loads(command.store.read(object_of(name)))["silence_seconds"] == 1.5
    wait_for(lambda: not running(command))
    assert 69 in {pod.ended for pod in command.stub.pods}
    assert len(command.stub.pods) == 3, "none was started again"
    wait_for(lambda: command.stub.jobs[name]["status"]["conditions"][-1]["type"] == "Failed")
    assert b"nobody follows any more" in next(pod for pod in command.stub.pods if pod.ended == 69).log
    command.stub.entry = lambda pod: script("slow.py", "0")
    done = command(THREE)
    assert done.returncode == 0, done.stderr
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_clean_deletes_the_jobs_of_a_run_and_no_others(command: Command) -> None:
    command.stub.entry = lambda pod: script("slow.py", "8")
    process = command.start(THREE)
    wait_for(lambda: len(running(command)) == 3, process)
    words = [*command.words({})[:3], "clean", "--run"]
    run = lambda name: subprocess.run(  # noqa: E731
        [*words, name], cwd=Path.cwd(), env=command.environment, capture_output=True, text=True, check=True
    )
    assert run("another").stdout == ""
    (job,) = command.stub.jobs
    assert run(RUN).stdout.strip() == job
    _, err = process.communicate()
    assert process.returncode == 75, err
    assert "was deleted while it was followed" in said(err)
    wait_for(lambda: not running(command))
    assert len(command.stub.pods) == 3


def test_the_exit_task_deletes_what_a_terminated_run_left(command: Command, tmp_path: Path) -> None:
    command.stub.entry = lambda pod: script("slow.py", "8")
    process = command.start(THREE)
    wait_for(lambda: len(running(command)) == 3, process)
    process.kill()  # as KFP's launcher ends it: no signal reaches it
    process.communicate()
    words = [*command.words({})[:3], "finish", "--run", RUN, "--store", command.store.uri]
    words += ["--state", '{"state": "CANCELED"}', "--html", str(tmp_path / "page")]
    done = subprocess.run(words, cwd=ROOT, env=command.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not command.stub.jobs
    wait_for(lambda: not running(command))
    assert "no report yet" in (tmp_path / "page").read_text()
    unreachable = command.environment | {"KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(words, cwd=ROOT, env=unreachable, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "the last page is written all the same"
    assert "is not deleted" in done.stderr


def test_a_name_that_is_taken_is_told(command: Command) -> None:
    command.stub.entry = lambda pod: script("slow.py", "1")
    process = command.start(THREE)
    wait_for(lambda: command.stub.jobs, process)
    process.kill()
    process.communicate()
    (job,) = command.stub.jobs.values()
    job["metadata"]["annotations"]["alma/artifact"] = "respond/0123"
    done = command(THREE)
    assert done.returncode == 2
    assert "is there already and makes respond/0123 in" in said(done.stderr)
    assert "give another --job-name-prefix" in said(done.stderr)


HELD: dict[str, tuple[Object, str]] = {
    "image": (
        {
            "containerStatuses": [
                {"name": "stage", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}
            ]
        },
        r"for \d s the image alma-vllm of \S+ cannot be pulled \(ImagePullBackOff: Back-off\); mend "
        r"placement.stages.embed.image, or give placement.stages.embed.pull_secret a Secret",
    ),
    "secret": (
        {
            "containerStatuses": [
                {
                    "name": "stage",
                    "state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "a" not found'}},
                }
            ]
        },
        r'cannot be made \(CreateContainerConfigError: secret "a" not found\); make what is missing, or mend '
        r"placement.stages.embed.s3_secret",
    ),
}


@pytest.mark.parametrize("what", HELD)
def test_a_pod_that_cannot_start_fails_the_stage(command: Command, what: str) -> None:
    status, told = HELD[what]
    command.stub.hold = lambda pod: status
    done = command(THREE, "--hopeless-seconds", "1")
    assert done.returncode == 2, done.stderr
    assert re.search(told, events(done.stderr, "error")[0]["message"])
    assert not command.stub.jobs


def test_a_pod_that_waits_for_a_node_says_for_which(command: Command) -> None:
    words = (
        "0/5 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 2 Insufficient nvidia.com/gpu."
    )
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    command.stub.hold = lambda pod: {"conditions": [condition]}
    process = command.start({**THREE, "gpus": 2, "node_selector": {"gpu": "h100"}})
    wait_for(lambda: [path for method, path in command.stub.seen if path.endswith("pods")], process)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 75
    assert words in said(err)
    assert 'placement.stages.embed.node_selector = {"gpu": "h100"}' in said(err)
    assert "placement.stages.embed.gpus = 2" in said(err)


def test_a_queue_admits_the_job_as_a_whole(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    process = command.start({**THREE, "queue": "alma"})
    wait_for(lambda: command.stub.jobs, process)
    time.sleep(0.5)
    (job,) = command.stub.jobs.values()
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "alma"
    assert not command.stub.pods
    job["spec"]["suspend"] = False
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert "waits to be admitted to the queue alma" in said(err)
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_a_job_past_its_time_says_which_field(command: Command) -> None:
    command.stub.entry = lambda pod: script("slow.py", "1")
    process = command.start({**THREE, "timeout_seconds": 60})
    wait_for(lambda: running(command), process)
    (job,) = command.stub.jobs.values()
    assert job["spec"]["activeDeadlineSeconds"] == 60
    job["begun"] -= 60
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "placement.stages.embed.timeout_seconds = 60; raise it" in said(err)


def test_an_api_that_fails_now_and_then_is_asked_again(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    command.stub.faults = ["503", "lost", "reset", "", "500", "html"]
    done = command(THREE)
    assert done.returncode == 0, done.stderr
    assert manifest(command, undisturbed[0]) == undisturbed[1]


def test_missing_rights_are_told(command: Command) -> None:
    command.stub.rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}]
    done = command(THREE)
    assert done.returncode == 2
    assert "refuses to create jobs in the namespace team" in said(done.stderr)
    assert "manifests/base/run-role.yaml" in said(done.stderr)


def test_parts_that_vanished_after_the_job_are_made_again(command: Command, undisturbed: tuple[Ref, bytes]) -> None:
    assert command(THREE).returncode == 0
    ref, expected = undisturbed
    shutil.rmtree(Path(command.store.uri, str(ref)))
    done = command(THREE)
    assert done.returncode == 0, done.stderr
    assert manifest(command, ref) == expected
    assert len(command.stub.pods) == 3, "of the second Job; the first one's went with it"
