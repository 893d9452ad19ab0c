"""Training on several devices, here processes of the CPU: the same model as on one, stopped, killed, out of memory."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from alma.engines import Training
from alma.engines.checkpoints import NEEDED, NOWHERE, check_layout, newest_whole, problem
from alma.engines.trl.batches import Batches, Steps
from alma.errors import ConfigError, Stopped
from alma.sections import Finetune
from alma.store import open_store
from tests.builders import killed_training, short_of_memory
from tests.builders.architectures import tiny
from tests.builders.short_of_memory import LONG
from tests.builders.training import PAIRS, ROWS, curve, files, place, settings, train, write_model
from tests.builders.training_process import begin, checkpoint_steps, inputs, wait_while

torch.set_num_threads(1)

# 7 rows in steps of 4 and 3, so that the last of an epoch leaves a device with less to read than another; 8 steps.
COMMON: dict[str, Any] = {"epochs": 4, "batch_rows": 4, "micro_batch_rows": 1, "checkpoint_steps": 2}
ALONE = settings(**COMMON)
DDP = settings(**COMMON, num_devices=2, parallel="ddp")
TOLERANCE = 1e-5
"""Of losses and weights, float32: numbers are added up in another order."""

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None,
    reason="DeepSpeed on a CPU compiles an operator, and there is no g++: apt-get install g++, then make test",
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start"))


@dataclass
class Trained:
    """A finished training."""

    losses: list[float]
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float | int] = field(default_factory=dict)

    @classmethod
    def of(cls, training: Training, metrics: dict[str, float | int]) -> Trained:
        weights = load_file(training.out / "model.safetensors")
        return cls([row["loss"] for row in curve(training)], weights, metrics)

    def check(self, other: Trained) -> None:
        assert self.losses == pytest.approx(other.losses, abs=TOLERANCE)
        assert self.weights.keys() == other.weights.keys()
        for name, weight in self.weights.items():
            torch.testing.assert_close(weight, other.weights[name], atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def alone(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    training = place(start, tmp_path_factory.mktemp("alone"), PAIRS)
    return Trained.of(training, train(ALONE, training))


# --- which rows are read where ---------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5), st.integers(1, 6), st.integers(0, 3))
def test_every_step_reads_its_rows_once(rows: int, batch: int, micro: int, num_devices: int, epoch: int) -> None:
    whole = list(Batches(Steps(rows, batch, rows), seed=0))
    assert sorted(row for step in whole for row in step) == list(range(rows))
    devices = [Batches(Steps(rows, batch, micro, num_devices, device), seed=0) for device in range(num_devices)]
    for each in devices:
        each.set_epoch(0)
    passes = [iter(each) for each in devices]
    for step, wanted in enumerate(whole):
        sizes = [each.steps.passes_of(step) for each in devices]
        assert len({len(each) for each in sizes}) == 1, "all make equally many forward passes"
        found = [
            row for sizes_of, of in zip(sizes, passes, strict=True) for size in sizes_of for row in next(of)[:size]
        ]
        assert sorted(found) == sorted(wanted)
        assert max(map(max, sizes)) <= micro
        assert len(sizes[0]) <= devices[0].steps.num_passes
    assert all(next(each, None) is None for each in passes)
    assert len(devices[0]) == len(list(devices[0]))
    devices[0].set_epoch(epoch)
    assert epoch == 0 or rows < 10 or list(devices[0]) != list(Batches(devices[0].steps, seed=0))


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_the_micro_batch_changes_no_loss(start: Path, tmp_path: Path, objective: str) -> None:
    found = []
    for micro in (1, 3):
        training = place(start, tmp_path / str(micro), ROWS[objective])
        metrics = train(settings(objective, **COMMON | {"batch_rows": 4, "micro_batch_rows": micro}), training)
        found.append(Trained.of(training, metrics))
    found[0].check(found[1])


def test_how_is_not_in_the_key() -> None:
    for changes in ({"num_devices": 2}, {"parallel": "zero3"}, {"micro_batch_rows": 1}, {"liger": False}):
        assert Finetune(**changes).keyed() == Finetune().keyed()
    assert Finetune(adapter={}).keyed() != Finetune().keyed()
    unset = {"num_devices", "parallel", "activation_checkpointing", "liger", "adapter"}
    assert not unset & set(Finetune().model_dump())
    assert Finetune(num_devices=2).model_dump()["num_devices"] == 2


def test_impossible_devices_are_refused(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"parallel = 'none' trains on one device and num_devices = 2"):
        Finetune(parallel="none", num_devices=2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"num_devices = 3 and 2 GPUs are visible"):
        train(settings(num_devices=3), place(start, tmp_path, PAIRS))


# --- several processes -----------------------------------------------------------------------------------------------


def test_two_processes_train_as_one(start: Path, tmp_path: Path, alone: Trained) -> None:
    heard: list[tuple[int, int, dict[str, float]]] = []
    training = replace(place(start, tmp_path, PAIRS), on_step=lambda *each: heard.append(each))
    metrics = train(DDP, training)
    Trained.of(training, metrics).check(alone)
    exact = {"num_rows", "num_steps", "num_tokens"}
    assert {name: metrics[name] for name in exact} == {name: alone.metrics[name] for name in exact}
    assert [each[:2] for each in heard] == [(step, 8) for step in range(1, 9)]
    assert {row["num_devices"] for *_, row in heard} == {2}
    speed = [json.loads(line) for line in (training.scratch / "speed.jsonl").read_text().splitlines()]
    assert [row["step"] for row in speed] == list(range(1, 9))
    for row, (_, _, metrics_of_step) in zip(speed, heard, strict=True):
        assert row["tokens_per_second"] == pytest.approx(metrics_of_step["tokens"] / row["seconds"], rel=0.01)
        assert 2**27 < row["memory_bytes"] < 2**33
    assert set(curve(training)[0]) == {"step", "loss", "learning_rate", "grad_norm", "tokens"}


@needs_compiler
@pytest.mark.parametrize("parallel", ["zero2", "zero3"])
def test_sharded_training_stops_and_goes_on_as_one(start: Path, tmp_path: Path, alone: Trained, parallel: str) -> None:
    cfg = settings(**COMMON, num_devices=2, parallel=parallel)
    heard: list[int] = []
    training = replace(place(start, tmp_path, PAIRS), on_step=lambda step, *_: heard.append(step))
    with pytest.raises(Stopped, match=r"stopped as asked at step (\d+) of 8") as stopped:
        train(cfg, replace(training, stopping=lambda: heard[-1:] == [1]))
    (step,) = map(int, re.findall(r"at step (\d+)", str(stopped.value)))
    assert step < 8
    with pytest.raises(ConfigError, match=rf"was written with parallel = '{parallel}' on 2 devices and cannot"):
        train(ALONE, training)
    metrics = train(cfg, training)
    assert heard == list(range(1, 9))
    Trained.of(training, metrics).check(alone)


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started, and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return [*found, *(each for child in found for each in children(child))]


def test_a_killed_training_ends_whole_and_goes_on(start: Path, tmp_path: Path, alone: Trained) -> None:
    training, output = place(start, tmp_path, PAIRS), tmp_path / "output"
    with killed_training.begin(DDP, start, tmp_path, output, slow_after=1, seconds=3.0) as process:
        wait_while(process, output, (training.scratch / "checkpoint-2").is_dir)
        started = children(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(started) >= 3, "torchrun and two processes"
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline, "a process outlived the training that it was part of"
        time.sleep(0.05)
    assert output.read_text() == ""
    newest = max(int(path.name.rpartition("-")[2]) for path in training.scratch.glob("checkpoint-*"))
    assert newest < 8, "killed too late to mean anything"
    heard: list[int] = []
    metrics = train(DDP, replace(training, on_step=lambda step, *_: heard.append(step)))
    assert heard == list(range(newest + 1, 9))
    Trained.of(training, metrics).check(alone)


def test_a_stage_told_to_stop_keeps_a_checkpoint_of_all_processes(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, log = open_store(str(tmp_path / "store")), tmp_path / "log"
    with begin(store.uri, inputs(store, start, tmp_path / "in"), log, DDP.changed(epochs=200)) as process:
        wait_while(process, log, lambda: checkpoint_steps(store))
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 75, log.read_text()
    (step,) = re.findall(r"stopped as asked at step (\d+) of 400; its checkpoint is in \S+\n", log.read_text())
    assert max(checkpoint_steps(store)) == int(step)
    names = {name.split("/")[-1] for name in store.list("finetune") if f"/{int(step):08d}/" in name}
    assert {"rng_state_0.pth", "rng_state_1.pth", "optimizer.pt", "model.safetensors"} <= names


def test_an_error_of_a_process_is_raised_as_it_was(start: Path, tmp_path: Path) -> None:
    cfg = DDP.changed(adapter={"targets": ["no_such_layer"]})
    with pytest.raises(ConfigError, match=r"^adapter.targets = \('no_such_layer',\) does not fit llama: "):
        train(cfg, place(start, tmp_path, PAIRS))


# --- checkpoints -----------------------------------------------------------------------------------------------------

SHARDED = ("scheduler.pt", "trainer_state.json", "model.safetensors", "rng_state_0.pth", "rng_state_1.pth")
STEP = "global_step4"
WRITTEN = {
    "none": (*NEEDED, "model.safetensors"),
    "ddp": (*SHARDED, "optimizer.pt"),
    "zero2": (
        *(*SHARDED, "latest", f"{STEP}/mp_rank_00_model_states.pt"),
        *(f"{STEP}/bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)),
    ),
    "zero3": (
        *(*SHARDED, "latest"),
        *(f"{STEP}/zero_pp_rank_{rank}_mp_rank_00_model_states.pt" for rank in (0, 1)),
        *(f"{STEP}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)),
    ),
}


def written(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("parallel", WRITTEN)
@pytest.mark.parametrize("goes_on", WRITTEN)
def test_only_those_that_share_alike_go_on_from_a_checkpoint(tmp_path: Path, parallel: str, goes_on: str) -> None:
    folder = written(tmp_path / "checkpoint-4", WRITTEN[parallel])
    assert newest_whole(tmp_path, NOWHERE) == folder
    if parallel == goes_on or {parallel, goes_on} == {"none", "ddp"}:
        check_layout(folder, goes_on, 2)
    else:
        with pytest.raises(ConfigError, match=rf"cannot be resumed with parallel = '{goes_on}' on 2; set"):
            check_layout(folder, goes_on, 2)
    if parallel.startswith("zero"):
        with pytest.raises(ConfigError, match=r"on 2 devices and cannot be resumed with .* on 4; set"):
            check_layout(folder, parallel, 4)


@pytest.mark.parametrize("parallel", WRITTEN)
def test_a_checkpoint_of_several_lacks_no_share(tmp_path: Path, parallel: str) -> None:
    assert problem(WRITTEN[parallel]) is None
    last_rng = {"rng_state_1.pth"}  # tells how many there are, where nothing else does
    needed = set(WRITTEN[parallel]) - last_rng - {f"{STEP}/mp_rank_00_model_states.pt"}
    for name in needed:
        assert problem(set(WRITTEN[parallel]) - {name}) is not None, name


# --- an adapter ------------------------------------------------------------------------------------------------------


def test_an_adapter_is_merged_into_the_weights(start: Path, tmp_path: Path) -> None:
    training = place(start, tmp_path, PAIRS)
    cfg = settings(epochs=30, batch_rows=4, micro_batch_rows=4, adapter={"rank": 2, "alpha": 8})
    metrics = train(cfg, training)
    assert metrics["last_loss"] < 0.8 * metrics["first_loss"]
    assert set(files(training.out)) == {*files(start), "curve.jsonl"}
    before, after = (load_file(folder / "model.safetensors") for folder in (start, training.out))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        rank = int(torch.linalg.matrix_rank(after[name] - weight, atol=1e-4)) if weight.ndim == 2 else 0
        is_linear = "proj" in name
        assert rank == (2 if is_linear else 0), name
        assert is_linear or torch.equal(weight, after[name]), name
    _, info = AutoModelForCausalLM.from_pretrained(training.out, output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@needs_compiler
def test_an_adapter_on_tied_layers_is_parted_where_the_weights_are_dealt_out(tmp_path: Path) -> None:
    start = tiny("llama", tmp_path / "start", tie_word_embeddings=True)
    cfg = settings(**COMMON, adapter={"rank": 2, "targets": ("lm_head", "q_proj")})
    alone, together = (place(start, tmp_path / name, PAIRS) for name in ("alone", "together"))
    one = Trained.of(alone, train(cfg, alone))
    Trained.of(together, train(cfg.changed(num_devices=2, parallel="zero3"), together)).check(one)
    assert "lm_head.weight" in one.weights


def test_an_adapter_goes_on_to_the_same_bytes(start: Path, tmp_path: Path) -> None:
    cfg = settings(**COMMON, adapter={"rank": 2, "dropout": 0.1})
    undisturbed, stopped = (place(start, tmp_path / name, PAIRS) for name in ("undisturbed", "stopped"))
    metrics = train(cfg, undisturbed)
    heard: list[int] = []
    with pytest.raises(Stopped, match="at step 3 of 8"):
        train(cfg, replace(stopped, on_step=lambda step, *_: heard.append(step), stopping=lambda: heard[-1:] == [2]))
    assert train(cfg, stopped) == metrics
    assert files(stopped.out) == files(undisturbed.out)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 13 MB whose activations are 32 MiB per row of 64 tokens, several times over."""
    folder = tmp_path_factory.mktemp("wide")
    shutil.copytree(start, folder, dirs_exist_ok=True)
    config = LlamaConfig.from_pretrained(start, num_hidden_layers=1, hidden_size=8, intermediate_size=2**17)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


WIDE = settings(epochs=1, batch_rows=8, micro_batch_rows=8, activation_checkpointing=False)


def test_out_of_memory_halves_the_micro_batch(wide: Path, tmp_path: Path) -> None:
    """With 160 MiB more than it holds no row fits; with 1000 MiB a smaller micro-batch does."""
    whole = place(wide, tmp_path / "whole", LONG)
    metrics = train(WIDE, whole)
    done = short_of_memory.run(WIDE, wide, tmp_path, 160, 1000)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    halved = r"out of memory: goes on with micro_batch_rows = (\d) \(.*(?:can't|Cannot) allocate memory"
    tried = re.findall(f"^1000: {halved}", said, re.M)
    assert tried in (["4"], ["4", "2"]), said
    short = place(wide, tmp_path / "1000", LONG)
    assert [row["loss"] for row in curve(short)] == pytest.approx([metrics["first_loss"]], abs=TOLERANCE)
    (row,) = [json.loads(line) for line in (short.scratch / "speed.jsonl").read_text().splitlines()]
    assert row["micro_batch_rows"] == int(tried[-1])
    tried = re.findall(f"^160: {halved}", said, re.M)
    assert tried == ["4", "2", "1"], said
    assert re.search(
        r"^160: one row of at most max_tokens = 64 tokens does not fit into the memory of each of 1 devices "
        r".*(?:can't|Cannot) allocate.*lower max_tokens, raise num_devices with parallel = 'zero3', set "
        r"activation_checkpointing",
        said,
        re.M,
    ), said
