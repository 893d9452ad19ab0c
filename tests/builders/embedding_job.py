"""A stage that runs as a Job of the stub: prompts embedded by the echo engine, 30 parts; real processes throughout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alma.artifact import Ref
from alma.running.stage import run
from alma.store import FolderStore
from tests.builders.jobs_stub import ClusterStub
from tests.builders.kubelet import Pod
from tests.builders.stub_server import served

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "examples" / "micro"
SECTION = {"engine": "echo", "part_rows": 20}
RUN = "5f0e4f1c-run"
LABEL = "prompts · embed"


def prepared(folder: Path) -> tuple[FolderStore, dict[str, Ref]]:
    """A store with the inputs of the stage."""
    store = FolderStore(folder)
    model = run("ingest", {"kind": "model", "source": str(MICRO / "base")}, {}, store)
    prompts = run("ingest", {"kind": "prompts", "source": str(MICRO / "eval_prompts.jsonl")}, {}, store)
    return store, {"model": model.ref, "prompts": prompts.ref}


class Command:
    """``python -m cluster`` as a task of a pipeline would start it."""

    def __init__(self, stub: ClusterStub, store: FolderStore, inputs: dict[str, Ref], kubeconfig: Path) -> None:
        self.stub, self.store, self.inputs = stub, store, inputs
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(kubeconfig.parent),
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": "team",
            "OMP_NUM_THREADS": "1",
            "ALMA_CACHE": str(kubeconfig.parent / "cache"),
        }

    def words(self, placement: dict[str, Any], *more: str) -> list[str]:
        """The command line of the stage."""
        words = [sys.executable, "-m", "cluster", "stage", "embed", "--store", self.store.uri, "--log", "json"]
        words += ["--config", json.dumps(SECTION), "--run", RUN, "--label", LABEL, "--poll", "0.1"]
        for port, ref in self.inputs.items():
            words += ["--in", f"{port}={ref}"]
        return [*words, "--placement", json.dumps({"image": "alma-vllm", "cpu": "1", **placement}), *more]

    def start(self, placement: dict[str, Any], *more: str) -> subprocess.Popen[str]:
        """Starts it."""
        return subprocess.Popen(
            self.words(placement, *more),
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, placement: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        words = self.words(placement, *more)
        return subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)


@contextmanager
def cluster(folder: Path, store: FolderStore, inputs: dict[str, Ref]) -> Iterator[Command]:
    """A stub at work, and the command that is told of it by KUBECONFIG."""
    stub = ClusterStub(folder / "nodes")
    controller = threading.Thread(target=stub.run, daemon=True)
    controller.start()
    with served(stub) as host:
        config = {
            "clusters": [{"name": "stub", "cluster": {"server": host}}],
            "users": [{"name": "pod", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "pod"}}],
            "current-context": "stub",
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        try:
            yield Command(stub, store, inputs, folder / "kubeconfig")
        finally:
            stub.close()
            controller.join()


def script(name: str, *words: str) -> list[str]:
    """A program in place of ``alma`` in a pod."""
    return [sys.executable, str(ROOT / "tests" / "builders" / name), *words, "--"]


def is_first(pod: Pod, index: int, stub: ClusterStub) -> bool:
    """Whether ``pod`` is the first attempt of its index."""
    return pod.index == index and len([each for each in stub.pods if each.index == index]) == 1
