"""What the tests of submit and follow stand on: a compiled pipeline, the stubs served, and real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alma.monitor.journal import Entry, Place
from alma.store import open_store
from tests.builders.kubernetes_stub import JobsStub
from tests.builders.stub_server import served

ROOT = Path(__file__).parents[2]

JOB = {"JOB_NAME": "alma-run-x7k2p", "JOB_UID": "0d9e8f-uid", "POD_NAMESPACE": "team"}


def compile_small(path: Path) -> Path:
    """Three rounds, a loop of two shards, an exit handler and one parameter of each kind, by KFP's own compiler."""
    from kfp import compiler, dsl

    @dsl.container_component
    def work() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="alma")

    @dsl.container_component
    def shard_work(shard: str) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="alma", args=[shard])

    @dsl.pipeline(name="alma-small")
    def small(
        store: str,
        respond: str = "{}",
        gpus: int = 1,
        share: float = 0.5,
        keep: bool = False,
        labels: dict = {},  # noqa: B006 - kfp reads it
    ) -> None:
        last = work().set_display_name("finish")
        with dsl.ExitHandler(last):
            before = work().set_display_name("preflight")
            for number in (2, 3, 4):
                with dsl.ParallelFor(["0/2", "1/2"], name=f"round {number:02} · respond · shards") as shard:
                    answers = shard_work(shard=shard).set_display_name(f"round {number:02} · respond")
                    answers.after(before)
                before = work().set_display_name(f"round {number:02} · finetune").after(answers)

    compiler.Compiler().compile(small, str(path))
    return path


KEYS = {"preflight": "work-2", "finish": "work"}
KEYS |= {f"respond {n}": "shard-work" + (f"-{n - 1}" if n > 2 else "") for n in (2, 3, 4)}
KEYS |= {f"finetune {n}": f"work-{n + 1}" for n in (2, 3, 4)}
"""Test's short name → the key KFP's compiler gives that task."""


def frame(state: str, began: dict[str, int] | None = None, **tasks: Any) -> dict[str, Any]:
    """A frame of the stub's script, by the tests' short names: ``respond_2=["RUNNING", "SUCCEEDED"]``."""
    named = {KEYS[name.replace("_", " ")]: value for name, value in tasks.items()}
    return {"state": state, "tasks": named, "began": {KEYS[k.replace("_", " ")]: v for k, v in (began or {}).items()}}


def all_done() -> dict[str, Any]:
    shards = {f"respond_{n}": ["SUCCEEDED"] * 2 for n in (2, 3, 4)}
    tunes = {f"finetune_{n}": "SUCCEEDED" for n in (2, 3, 4)}
    return frame("SUCCEEDED", preflight="SUCCEEDED", finish="SUCCEEDED", **shards, **tunes)


def tell(store: Path, run_id: str, label: str, state: Any, **more: Any) -> None:
    """As a step of that run tells its journal."""
    place = Place(run_id, label, more.get("shard"))
    entry = Entry(label=label, stage="respond", state=state, time=time.time(), **{"started": time.time(), **more})
    open_store(str(store)).write(place.name, entry.model_dump_json().encode())


def pod_of(run_id: str, task: str, status: dict[str, Any], namespace: str = JOB["POD_NAMESPACE"]) -> dict[str, Any]:
    """A task's pod as Argo and KFP make it: the run's label, and the way through the workflow as an annotation."""
    return {
        "metadata": {
            "name": f"wf-{task}-impl-1",
            "namespace": namespace,
            "labels": {"pipeline/runid": run_id},
            "annotations": {"workflows.argoproj.io/node-name": f"wf.root.exit-handler-1.{task}.executor(0)"},
        },
        "status": status,
    }


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    """The status of a pod whose main container ended with ``code``."""
    main = {"name": "main", "state": {"terminated": {"exitCode": code, "reason": reason}}}
    return {"phase": "Failed", "containerStatuses": [{"name": "wait", "state": {}}, main], **more}


@contextmanager
def kubernetes(pipelines: "Pipelines", home: Path) -> Iterator[JobsStub]:
    """A Kubernetes API that knows the Job, for processes that are told to use it by KUBECONFIG."""
    jobs = JobsStub()
    jobs.add(JOB["POD_NAMESPACE"], JOB["JOB_NAME"], JOB["JOB_UID"])
    with served(jobs) as host:
        config = {
            "clusters": [{"name": "stub", "cluster": {"server": host}}],
            "users": [{"name": "pod", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "pod"}}],
            "current-context": "stub",
        }
        (home / "kubeconfig").write_text(json.dumps(config))
        pipelines.environment["KUBECONFIG"] = str(home / "kubeconfig")
        yield jobs


class Pipelines:
    """Starts ``python -m pipelines`` as a Job's pod or a person would, and collects what it says."""

    def __init__(self, home: Path, host: str) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KF_PIPELINES_ENDPOINT": host,
            "PYTHONWARNINGS": "error",
            "COLUMNS": "120",
        }
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", *map(str, words)],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return finished(self.start(*words, **environment))

    def stop_after(
        self, ready: Callable[[], bool], *words: str | Path, send: signal.Signals = signal.SIGTERM, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Starts a command and sends it a signal once ``ready``."""
        process = self.start(*words, **environment)
        wait_for(lambda: ready() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        process.send_signal(send)
        return finished(process)

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=90)
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def events(done: subprocess.CompletedProcess[str], kind: str = "") -> list[dict[str, Any]]:
    """The JSON lines of standard error."""
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if not kind or line["event"] == kind]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came"
        time.sleep(0.02)
