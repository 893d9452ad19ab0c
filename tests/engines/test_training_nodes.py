"""Training on two machines, here two stages of this one with caches of their own that meet at 127.0.0.1.

Real processes and signals: ``alma stage finetune`` as the pods of a Job run it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alma.artifact import Artifact, Model, Ref
from alma.engines.trl.devices import Devices
from alma.errors import ConfigError
from alma.nodes import Nodes
from alma.sections import Finetune
from alma.store import FolderStore
from tests.builders.training import settings, write_model
from tests.builders.training_process import checkpoint_steps, inputs, wait_while

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# 7 rows in steps of 4 and 3, so that the last of an epoch leaves a device with less to read than another; 8 steps.
SMALL_GPU = Path(__file__).parents[1] / "builders" / "small_gpu"
CFG = settings(epochs=4, batch_rows=4, micro_batch_rows=1, checkpoint_steps=2)


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None,
    reason="DeepSpeed on a CPU compiles an operator, and there is no g++: apt-get install g++, then make test",
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start"))


class Machines:
    """A store, and the machines that train."""

    def __init__(self, folder: Path, start: Path, cfg: Finetune = CFG, count: int = 2) -> None:
        self.folder, self.cfg, self.count = folder, cfg, count
        self.store = FolderStore(folder / "store")
        self.given = inputs(self.store, start, folder / "in")
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]

    def begin(self, rank: int, attempt: str = "first", *, small: bool = False) -> subprocess.Popen[bytes]:
        """Starts the stage on one of them."""
        own = self.folder / f"machine-{rank}-{attempt}"
        own.mkdir()
        command = [sys.executable, "-m", "alma", "stage", "finetune", "--store", self.store.uri, "--log", "json"]
        command += ["--config", self.cfg.model_dump_json(), "--run", "r", "--label", "train"]
        for port, ref in self.given.items():
            command += ["--in", f"{port}={ref}"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "ALMA_CACHE": str(own)}
        if small:
            environment["PYTHONPATH"] = str(SMALL_GPU)
        if self.count > 1:
            environment |= {
                "ALMA_NODES": str(self.count),
                "ALMA_NODE_RANK": str(rank),
                "ALMA_RENDEZVOUS": f"127.0.0.1:{self.port}",
            }
        with self.log(rank, attempt).open("wb") as file:
            return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)

    def log(self, rank: int, attempt: str = "first") -> Path:
        return self.folder / f"log-{rank}-{attempt}"

    def trained(self) -> tuple[list[float], dict[str, torch.Tensor]]:
        """The losses and weights of what was sealed."""
        (name,) = [name for name in self.store.list("finetune") if name.endswith("manifest.json")]
        assert not checkpoint_steps(self.store), "sealing removes them"
        model = Artifact.open(self.store, Ref.parse(name.removesuffix("/manifest.json")))
        assert isinstance(model, Model)
        curve = [json.loads(line) for line in (model.folder / "curve.jsonl").read_text().splitlines()]
        return [row["loss"] for row in curve], load_file(model.folder / "model.safetensors")


Trained = tuple[list[float], dict[str, torch.Tensor]]


def same(one: Trained, other: Trained, tolerance: float = 1e-6) -> None:
    assert one[0] == pytest.approx(other[0], abs=tolerance)
    assert one[1].keys() == other[1].keys()
    for name, weight in one[1].items():
        torch.testing.assert_close(weight, other[1][name], atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def on_one_machine(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    cfg = CFG.changed(num_devices=2, parallel="ddp")
    one = Machines(tmp_path_factory.mktemp("one"), start, cfg, count=1)
    assert one.begin(0).wait() == 0, one.log(0).read_text()
    return one.trained()


def test_two_machines_killed_and_drained_train_as_one(start: Path, tmp_path: Path, on_one_machine: Trained) -> None:
    """The second is told to stop, then the first is killed; each time all go on from the checkpoint of both."""
    two = Machines(tmp_path, start, CFG.changed(parallel="ddp"))
    first, second = two.begin(0), two.begin(1)
    wait_while(first, two.log(0), lambda: checkpoint_steps(two.store))
    second.send_signal(signal.SIGTERM)
    assert second.wait(300) == 75, two.log(1).read_text()
    assert first.wait(300) == 75, two.log(0).read_text()
    (newest,) = checkpoint_steps(two.store)[-1:]
    stated = json.loads(two.store.read(next(n for n in two.store.list("finetune") if n.endswith(f"{newest:08d}.json"))))
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {file["name"] for file in stated["files"]}
    second, first = two.begin(1, "again"), two.begin(0, "again")
    assert first.wait(300) == 0, two.log(0, "again").read_text()
    assert second.wait(300) == 0, two.log(1, "again").read_text()
    assert f"resumes the checkpoint of step {newest} in the store" in two.log(1, "again").read_text()
    same(two.trained(), on_one_machine)


@needs_compiler
def test_two_machines_share_optimizer_and_weights(start: Path, tmp_path: Path, on_one_machine: Trained) -> None:
    """DeepSpeed across machines: stopped at one of them, on from a checkpoint that holds the shares of both."""
    two = Machines(tmp_path, start, CFG.changed(parallel="zero3"))  # which shares what zero2 does, and the weights
    first, second = two.begin(0), two.begin(1)
    wait_while(first, two.log(0), lambda: checkpoint_steps(two.store))
    second.send_signal(signal.SIGTERM)
    assert second.wait(300) == 75, two.log(1).read_text()
    assert first.wait(300) == 75, two.log(0).read_text()
    newest = checkpoint_steps(two.store)[-1]
    assert newest < 8, "stopped too late to mean anything"
    stated = json.loads(two.store.read(next(n for n in two.store.list("finetune") if n.endswith(f"{newest:08d}.json"))))
    shares = [file["name"] for file in stated["files"] if file["name"].endswith("_optim_states.pt")]
    assert len(shares) == 2, stated["files"]
    first, second = two.begin(0, "again"), two.begin(1, "again")
    assert first.wait(300) == 0, two.log(0, "again").read_text()
    assert second.wait(300) == 0, two.log(1, "again").read_text()
    assert f"resumes the checkpoint of step {newest} in the store" in two.log(1, "again").read_text()
    same(two.trained(), on_one_machine, 1e-5)


def test_machines_agree_on_the_smallest_micro_batch(start: Path, tmp_path: Path, on_one_machine: Trained) -> None:
    """The second has memory for one row; the first, which has more, goes on with one, too."""
    two = Machines(tmp_path, start, CFG.changed(parallel="ddp", micro_batch_rows=2))
    for code, attempt in ((75, "first"), (0, "again")):
        first, second = two.begin(0, attempt), two.begin(1, attempt, small=True)
        assert second.wait(300) == code, two.log(1, attempt).read_text()
        assert first.wait(300) == code, two.log(0, attempt).read_text()
    told = "out of memory with micro_batch_rows = 2 (there is memory for one row); begun again, all machines of the"
    assert told in two.log(1).read_text()
    for rank in (0, 1):
        assert "goes on with micro_batch_rows = 1: a machine had too little" in two.log(rank, "again").read_text()
    same(two.trained(), on_one_machine)


def test_a_machine_that_is_lost_ends_the_others_for_another_try(start: Path, tmp_path: Path) -> None:
    two = Machines(tmp_path, start, CFG.changed(parallel="ddp", epochs=400))
    first, second = two.begin(0), two.begin(1)
    wait_while(first, two.log(0), lambda: checkpoint_steps(two.store))
    first.kill()
    assert second.wait(300) == 75, two.log(1).read_text()
    first.wait()


def test_nodes_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Nodes.here() == Nodes(1, 0, "")
    monkeypatch.setenv("ALMA_NODES", "2")
    with pytest.raises(ConfigError, match="ALMA_NODE_RANK counts machines from 0"):
        Nodes.here()
    monkeypatch.setenv("ALMA_NODE_RANK", "1")
    with pytest.raises(ConfigError, match="ALMA_RENDEZVOUS is HOST:PORT"):
        Nodes.here()
    monkeypatch.setenv("ALMA_RENDEZVOUS", "a-0.a:29500")
    assert Nodes.here().helps
    devices = Devices.of(settings(num_devices=2))
    assert (devices.num_devices, devices.total, devices.parallel) == (2, 4, "ddp")
    with pytest.raises(ConfigError, match="there are 2 machines"):
        Devices.of(settings(parallel="none"))


def test_a_helper_does_not_end_before_the_model_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alma.errors import TransientError
    from alma.running import helper

    monkeypatch.setattr(helper, "POLL_SECONDS", 0.01)
    met = iter([True, False, True])
    monkeypatch.setattr(Nodes, "is_met", lambda self: next(met))
    with pytest.raises(TransientError, match="the first machine trains anew"):
        helper.await_seal(FolderStore(tmp_path), Ref("finetune", "a" * 20), Nodes(2, 1, "a:1"), lambda: False)
