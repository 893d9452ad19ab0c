"""A stage as a Job, its pods and the task that follows them in containers of the real images, with a real S3 server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from alma.artifact import Artifact, Ref, find_manifest
from alma.running.stage import run
from alma.store import Store, open_store
from tests.builders import dependents
from tests.builders.kubelet import Pod
from tests.builders.training import settings, write_model
from tests.builders.training_process import inputs as trained_on
from tests.containers import podman
from tests.containers.jobs import Task, cluster

if TYPE_CHECKING:
    from tests.conftest import S3Server

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

MICRO = Path(__file__).parents[2] / "examples" / "micro"
SECTION = {"engine": "hf", "part_rows": 20}
RUN = "5f0e4f1c-run"


@pytest.fixture
def store(s3_store_uri: str) -> Store:
    return open_store(s3_store_uri)


def ingested(store: Store) -> dict[str, Ref]:
    """A model of 0.86M parameters, and prompts in 30 parts."""
    sources = {"model": MICRO / "base", "prompts": MICRO / "eval_prompts.jsonl"}
    return {kind: run("ingest", {"kind": kind, "source": str(path)}, {}, store).ref for kind, path in sources.items()}


@pytest.fixture
def inputs(store: Store) -> dict[str, Ref]:
    return ingested(store)


@pytest.fixture
def task(s3_server: S3Server, image: Callable[..., str], tmp_path: Path) -> Iterator[Task]:
    with cluster(tmp_path, image("submit"), s3_server) as made:
        yield made


def words(store: Store, inputs: dict[str, Ref], image: str) -> list[str]:
    """The command line of a task that has its stage done by two pods."""
    placement = {"image": image, "shards": 2, "cpu": "1", "memory": "2Gi", "retries": 2}
    found = ["stage", "embed", "--store", store.uri, "--config", json.dumps(SECTION), "--run", RUN]
    found += ["--label", "prompts · embed", "--poll", "0.2", "--log", "json", "--placement", json.dumps(placement)]
    return found + [word for port, ref in inputs.items() for word in ("--in", f"{port}={ref}")]


def wait_for(condition: Callable[[], Any], task: Task) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, logs(task)
        assert not task.stub.broken, task.stub.broken
        time.sleep(0.05)


def logs(task: Task) -> str:
    return "\n".join(f"{pod.name}: {pod.ended} {pod.log.decode()[-2000:]}" for pod in task.stub.pods)


def parts(store: Store) -> list[str]:
    return [name for name in store.list("embed") if "/parts/" in name and name.endswith(".json")]


def running(task: Task) -> list[Pod]:
    return [pod for pod in task.stub.pods if pod.process and pod.ended is None]


def test_two_pods_one_of_them_killed_make_what_a_run_here_makes(
    task: Task, store: Store, inputs: dict[str, Ref], image: Callable[..., str], tmp_path: Path
) -> None:
    task.slow_seconds = 0.5
    process = task.start(*words(store, inputs, image("trl", cpu=True)))
    wait_for(lambda: parts(store) or process.poll() is not None, task)
    assert process.poll() is None, process.communicate()
    (victim, *_) = running(task)
    podman.podman("kill", "--signal=KILL", victim.name)
    output, error = process.communicate()
    assert process.returncode == 0, f"{error}\n{logs(task)}"
    here = open_store(str(tmp_path / "here"))
    assert ingested(here) == inputs
    alone = run("embed", SECTION, inputs, here)
    assert output.strip() == str(alone.ref)
    made = find_manifest(store, alone.ref)
    assert made
    assert (made.num_rows, made.section, made.inputs) == (alone.num_rows, alone.section, alone.inputs)
    assert len(made.files) == len(alone.files)
    assert sorted((pod.index, pod.ended) for pod in task.stub.pods) == sorted([(0, 0), (1, 0), (victim.index, 137)]), (
        "one of them was started again"
    )
    assert f"(index {victim.index}) was killed" in error


def test_two_pods_train_together(task: Task, store: Store, image: Callable[..., str], tmp_path: Path) -> None:
    """They meet under the name that the Job's Service gives the first of them."""
    cfg = settings(epochs=4, batch_rows=4, micro_batch_rows=1, checkpoint_steps=2)
    start = write_model(tmp_path / "start")
    given = trained_on(store, start, tmp_path / "in")
    placement = {"image": image("trl", cpu=True), "nodes": 2, "cpu": "1", "memory": "2Gi", "retries": 0}
    found = ["stage", "finetune", "--store", store.uri, "--config", cfg.model_dump_json(), "--run", RUN]
    found += ["--poll", "0.2", "--log", "json", "--placement", json.dumps(placement)]
    code, output, error = task.run(*found, *(word for port, ref in given.items() for word in ("--in", f"{port}={ref}")))
    assert code == 0, f"{error}\n{logs(task)}"
    assert sorted((pod.index, pod.ended) for pod in task.stub.pods) == [(0, 0), (1, 0)]
    (name,) = task.stub.jobs
    for resource in dependents.KINDS:
        assert task.stub.dependents.names(resource) == [name]
    here = open_store(str(tmp_path / "here"))
    alone = run("finetune", cfg, trained_on(here, start, tmp_path / "in-here"), here)
    assert output.strip() == str(alone.ref)
    together = Artifact.open(store, alone.ref)
    for key, weight in load_file(Artifact.open(here, alone.ref).folder / "model.safetensors").items():
        torch.testing.assert_close(
            load_file(together.folder / "model.safetensors")[key], weight, atol=1e-5, rtol=0, msg=key
        )


def test_the_exit_task_ends_the_pods_of_a_task_that_was_killed(
    task: Task, store: Store, inputs: dict[str, Ref], image: Callable[..., str]
) -> None:
    """They publish the part that they are at."""
    task.slow_seconds = 2
    process = task.start(*words(store, inputs, image("trl", cpu=True)))
    wait_for(lambda: len(parts(store)) >= 2 or process.poll() is not None, task)
    task.kill()
    process.communicate()
    assert process.returncode == 137
    (name,) = task.stub.jobs
    assert len(running(task)) == 2, "nothing has told them"
    code, output, error = task.run(
        "finish", "--run", RUN, "--store", store.uri, "--state", '{"state": "CANCELED"}', "--html", "/tmp/page"
    )
    assert code == 0, error
    assert name in output
    assert not task.stub.jobs
    wait_for(lambda: not running(task), task)
    assert [pod.ended for pod in task.stub.pods] == [75, 75], logs(task)
    assert 2 <= len(parts(store)) < 30
    assert not podman.podman("ps", "--quiet", "--filter=label=alma-test-job")
