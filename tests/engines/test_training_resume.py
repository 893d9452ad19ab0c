"""A training that loses its machine goes on from the store, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alma
from alma.artifact import Artifact, Ref
from alma.artifact.checkpoints import Checkpoints
from alma.engines import Training
from alma.engines.checkpoints import NEEDED, problem
from alma.errors import AccessError, Stopped, StoreUnavailableError
from alma.progress import Event
from alma.running import stage as stage_run
from alma.sections import Finetune
from alma.store import FolderStore, Store, open_store
from alma.store.multipart import PART_BYTES
from alma.store.s3 import S3Store
from tests.builders.proxy import Proxy, Request, running
from tests.builders.training import PAIRS, ROWS, curve, files, place, settings, train, write_model
from tests.builders.training_process import begin, checkpoint_steps, inputs, wait_while

REF = Ref("finetune", "0" * 20)
CFG = settings(epochs=4, checkpoint_steps=2)  # 16 steps


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def undisturbed(start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    training = place(start, tmp_path_factory.mktemp("undisturbed"), PAIRS)
    train(CFG, training)
    return files(training.out)


# --- one training, as the trainer sees it ----------------------------------------------------------------------------


class Attempt:
    """One attempt at a training, on a machine of its own; what it said, and the steps that it made."""

    def __init__(self, store: Store, start: Path, machine: Path, cfg: Finetune = CFG) -> None:
        self.store, self.cfg = store, cfg
        self.said: list[str] = []
        self.steps: list[int] = []
        self.training = place(start, machine, ROWS[cfg.objective])

    def __call__(self, stop_at: int | None = None, on_step: Callable[[int], object] = lambda step: None) -> None:
        def heard(step: int, *_: Any) -> None:
            self.steps.append(step)
            on_step(step)

        with Checkpoints(self.store, REF, self.said.append) as remote:
            self.remote = remote
            training: Training = replace(
                self.training, remote=remote, on_step=heard, stopping=lambda: self.steps[-1:] == [(stop_at or 0) - 1]
            )
            train(self.cfg, training)


def stated(store: Store) -> list[int]:
    """Steps of the checkpoints in the store that have a statement."""
    names = [name.removeprefix(f"{REF}/checkpoints/") for name in store.list(f"{REF}/checkpoints")]
    return [int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d+\.json", name)]


def stopped(store: Store, start: Path, machine: Path, cfg: Finetune = CFG, at: int = 5) -> Attempt:
    attempt = Attempt(store, start, machine, cfg)
    with pytest.raises(Stopped, match=rf"at step {at} of \d+; its checkpoint is in \S+scratch$"):
        attempt(stop_at=at, on_step=lambda step: attempt.remote.flush())  # else one that waits is left out
    return attempt


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_another_machine_goes_on_to_the_same_bytes(store_uri: str, start: Path, tmp_path: Path, objective: str) -> None:
    cfg = settings(objective, epochs=4, checkpoint_steps=2)
    whole = place(start, tmp_path / "whole", ROWS[objective])
    train(cfg, whole)
    store = open_store(store_uri)
    stopped(store, start, tmp_path / "first", cfg)
    assert stated(store) == [4, 5]
    second = Attempt(store, start, tmp_path / "second", cfg)
    second()
    assert second.said == ["resumes the checkpoint of step 5 in the store"]
    assert second.steps == [row["step"] for row in curve(whole)][5:]
    assert files(second.training.out) == files(whole.out)


def spoil(store: Store, how: str) -> None:
    """Does harm to the checkpoint of step 5."""
    folder, statement = f"{REF}/checkpoints/00000005", f"{REF}/checkpoints/00000005.json"
    known = json.loads(store.read(statement))
    if how == "no statement":
        store.remove(statement)
    elif how == "a broken statement":
        store.write(statement, b'{"format": 1')
    elif how == "a statement of another":
        store.write(statement, store.read(f"{REF}/checkpoints/00000004.json"))
    elif how == "a statement that leads astray":
        known["files"][0]["name"] = "../../../manifest.json"
        store.write(statement, json.dumps(known).encode())
    elif how == "a file is missing":
        store.remove(f"{folder}/optimizer.pt")
    elif how == "a file is short":
        store.write(f"{folder}/optimizer.pt", b"short")
    elif how == "a file is another":
        store.write(f"{folder}/model.safetensors", bytes(store.list(folder)[f"{folder}/model.safetensors"]))
    else:
        assert how == "weights alone"
        store.remove(f"{folder}/optimizer.pt")
        known["files"] = [file for file in known["files"] if file["name"] != "optimizer.pt"]
        store.write(statement, json.dumps(known).encode())


SPOILT = {
    "no statement": None,
    "a broken statement": "has no statement that can be read",
    "a statement of another": "has a statement that is not its own",
    "a statement that leads astray": "has a statement that is not its own",
    "a file is missing": r"is torn: optimizer.pt is missing where its statement says \d+ bytes",
    "a file is short": r"is torn: optimizer.pt has 5 bytes where its statement says \d+ bytes",
    "a file is another": r"is damaged: model.safetensors has SHA-256 \w{12}… where its statement says \w{12}…",
    "weights alone": r"lacks optimizer.pt",
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_whole_is_refused_and_the_one_before_is_used(
    start: Path, tmp_path: Path, undisturbed: dict[str, bytes], how: str
) -> None:
    store = open_store(str(tmp_path / "store"))
    stopped(store, start, tmp_path / "first")
    spoil(store, how)
    second = stopped(store, start, tmp_path / "second", at=8)
    assert second.steps == [5, 6, 7, 8]
    assert second.said[-1] == "resumes the checkpoint of step 4 in the store"
    if SPOILT[how]:
        assert re.fullmatch(f"the checkpoint of step 5 in the store {SPOILT[how]}: not used", second.said[0])
    assert {name.split("/")[3].removesuffix(".json") for name in store.list(str(REF))} == {"00000006", "00000008"}
    third = Attempt(store, start, tmp_path / "third")
    third()
    assert third.steps == list(range(9, 17))
    assert files(third.training.out) == undisturbed


def test_where_none_is_whole_it_begins_anew(start: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    store = open_store(str(tmp_path / "store"))
    stopped(store, start, tmp_path / "first")
    for step in (4, 5):
        store.remove(f"{REF}/checkpoints/0000000{step}/rng_state.pth")
    second = Attempt(store, start, tmp_path / "second")
    second()
    assert [line.partition(" is torn: ")[2][:24] for line in second.said] == ["rng_state.pth is missing"] * 2
    assert second.steps == list(range(1, 17))
    assert files(second.training.out) == undisturbed


@given(st.sets(st.sampled_from([*NEEDED, "model.safetensors", "model-00001-of-00002.safetensors", "README.md"])))
def test_a_checkpoint_is_gone_on_from_if_it_has_weights_and_every_state(names: set[str]) -> None:
    whole = {*NEEDED} <= names and any(name.startswith("model") for name in names)
    found = problem(names)
    assert (found is None) == whole
    assert found is None or all(name in found for name in NEEDED if name not in names)


def test_the_newer_of_here_and_there_is_used(start: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """One machine was behind, then it is the one that is ahead because what it sent did not arrive."""
    store = open_store(str(tmp_path / "store"))
    stopped(store, start, tmp_path / "one", at=3)
    other = stopped(store, start, tmp_path / "other", at=7)
    assert other.steps == [4, 5, 6, 7]
    back = stopped(store, start, tmp_path / "one", at=9)
    assert (back.steps, back.said) == ([8, 9], ["resumes the checkpoint of step 7 in the store"])
    for name in store.list(f"{REF}/checkpoints"):
        if "/00000009" in name:
            store.remove(name)
    again = Attempt(store, start, tmp_path / "one")
    again(on_step=lambda step: wait_for(lambda: step > 10 or stated(store) == [8, 9]))
    assert (again.steps[0], again.said) == (10, ["resumes the checkpoint of step 9 on this machine"])
    assert files(again.training.out) == undisturbed


# --- sending ---------------------------------------------------------------------------------------------------------


class Slow(FolderStore):
    """A folder whose uploads wait until they are let go; how many there were at once, of which steps."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.free = threading.Event()
        self.begun: list[int] = []

    def upload(self, path: Path, name: str) -> None:
        self.begun.append(int(name.split("/")[3]))
        assert self.free.wait(60)
        super().upload(path, name)


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_training_does_not_wait_and_the_newest_goes_next(
    start: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    store = Slow(tmp_path / "store")
    attempt = Attempt(store, start, tmp_path / "machine")
    scratch = attempt.training.scratch
    seen: list[list[str]] = []

    def on_step(step: int) -> None:
        if step == 13:  # six checkpoints were written; nothing has arrived
            wait_for(lambda: store.begun)
            assert set(store.begun) == {2}
            assert stated(store) == []
            seen.append(sorted(path.name for path in scratch.glob("checkpoint-*")))
            store.free.set()
            wait_for(lambda: 12 in stated(store))

    attempt(on_step=on_step)
    assert seen == [["checkpoint-10", "checkpoint-12", "checkpoint-2"]], "what is being sent has to stay"
    assert set(store.begun) - {14} == {2, 12}, "those between went nowhere: a newer one took their place"
    assert attempt.steps == list(range(1, 17))
    assert files(attempt.training.out) == undisturbed


def test_only_the_newest_two_are_kept(start: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    kept: list[list[int]] = []

    def on_step(step: int) -> None:
        if step % 2:
            wait_for(lambda: step < 3 or step - 1 in stated(store))
            kept.append(stated(store)[-2:])

    Attempt(store, start, tmp_path / "machine")(on_step=on_step)
    assert kept[2:] == [[2, 4], [4, 6], [6, 8], [8, 10], [10, 12], [12, 14]]
    assert {name.split("/")[3][:8] for name in store.list(str(REF))} <= {"00000012", "00000014"}


def test_what_does_not_arrive_is_said_and_the_next_is_tried(
    s3_store_uri: str, proxy: Proxy, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(s3_store_uri)
    proxy.fault = lambda request: "503" if request.method == "PUT" and "/00000002/" in request.path else None
    attempt = Attempt(store, start, tmp_path / "machine")
    with pytest.raises(Stopped, match=r"scratch$"):
        attempt(stop_at=4, on_step=lambda step: wait_for(lambda: step < 3 or proxy_saw(proxy, "/00000002/")))
    (line,) = attempt.said
    assert line.startswith("the checkpoint of step 2 did not reach the store: ")
    assert "answered 503 SlowDown" in line
    assert stated(store) == [4]
    proxy.fault = lambda request: "503" if request.method == "PUT" else None
    with pytest.raises(Stopped, match=r"step 6 of 16; .*, and did not reach the store: .* 503 SlowDown"):
        Attempt(store, start, tmp_path / "machine")(stop_at=6)


def proxy_saw(proxy: Proxy, part: str) -> bool:
    return any(request.method == "PUT" and part in request.path for request in proxy.asked)


def test_a_store_that_does_not_answer_is_no_reason_to_begin_anew(
    s3_store_uri: str, proxy: Proxy, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(s3_store_uri)
    stopped(store, start, tmp_path / "first")
    proxy.fault = lambda request: "503" if request.method == "GET" else None
    second = Attempt(store, start, tmp_path / "second")
    with pytest.raises(StoreUnavailableError, match="503 SlowDown"):
        second()
    assert second.steps == []


def test_a_large_checkpoint_is_fetched_whole(s3_store_uri: str, tmp_path: Path) -> None:
    """A file of several parts, and one in a folder below, as a sharded optimizer leaves them."""
    store, folder = open_store(s3_store_uri), tmp_path / "here"
    (folder / "global_step7").mkdir(parents=True)
    contents = {"a.safetensors": os.urandom(2 * PART_BYTES + 5), "global_step7/rank_0.pt": b"0", "b": b""}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    with Checkpoints(store, REF, print) as sender:
        sender.send(7, folder)
        assert sender.flush() is None
    with Checkpoints(store, REF, print) as fetcher:
        found = fetcher.fetch(tmp_path / "there", 0, None, lambda names: None)
    assert found is not None
    got = {path.relative_to(found).as_posix(): path.read_bytes() for path in found.rglob("*") if path.is_file()}
    assert got == contents


def test_what_another_machine_sealed_gets_no_checkpoint(start: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.write(f"{REF}/manifest.json", b"{}")
    stopped(store, start, tmp_path / "machine")
    assert list(store.list("")) == [f"{REF}/manifest.json"]


def test_a_store_that_lets_nothing_be_removed_is_refused_before_work_starts(tmp_path: Path) -> None:
    class Refusing(FolderStore):
        def remove(self, name: str) -> None:
            raise AccessError(f"{name}: you may not")

    with pytest.raises(AccessError), Checkpoints(Refusing(tmp_path / "store"), REF, print):
        pytest.fail("work has started")


def test_only_checkpoints_are_ever_removed(tmp_path: Path) -> None:
    calls = {path.name for path in Path(alma.__file__).parent.rglob("*.py") if "store.remove" in path.read_text()}
    assert calls == {"checkpoints.py"}
    store = open_store(str(tmp_path / "store"))
    names = [f"{REF}/manifest.json", f"{REF}/files/checkpoints/1", f"{REF}/checkpoints.json", "finetune/checkpoints/x"]
    for name in [*names, f"{REF}/checkpoints/00000001.json", f"{REF}/checkpoints/00000001/a"]:
        store.write(name, b"1")
    Checkpoints(store, REF, print).clear()
    assert sorted(store.list("")) == sorted(names)
    with pytest.raises(AssertionError, match="only checkpoints"):
        Checkpoints(store, REF, print)._remove(names)
    assert sorted(store.list("")) == sorted(names)


def test_how_many_rows_fit_is_known_to_all_until_the_model_is_sealed(store_uri: str) -> None:
    store, said = open_store(store_uri), list[str]()
    here, elsewhere = (Checkpoints(store, REF, said.append) for _ in range(2))
    assert elsewhere.most_rows() is None
    here.set_most_rows(8)
    here.set_most_rows(4)
    assert elsewhere.most_rows() == 4
    assert said == []
    store.write(f"{REF}/checkpoints/most_rows", b"0\n")
    assert elsewhere.most_rows() is None
    assert said == [f"{REF}/checkpoints/most_rows is no number of rows: b'0\\n'; not used"]
    store.write(f"{REF}/checkpoints/most_rows", b"9" * 5000)
    assert elsewhere.most_rows() is None
    here.set_most_rows(4)
    here.clear()
    assert list(store.list("")) == []


# --- the stage, in a process that is killed --------------------------------------------------------------------------


@pytest.fixture
def proxy(s3_store_uri: str, s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with running(s3_server.endpoint, PART_BYTES) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this machine, where an S3 store's scratch lies."""
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "machine"))
    return tmp_path / "machine"


def lose(machine: Path, store: Store) -> None:
    """The machine is gone: whatever was not in the store is too."""
    shutil.rmtree(machine, ignore_errors=True)
    scratch = store.local(".scratch")
    if scratch is not None:
        shutil.rmtree(scratch)


def finish(store: Store, given: dict[str, Ref | None]) -> tuple[bytes, list[Event]]:
    """Runs the stage to its end here; the manifest's bytes and what was said."""
    events: list[Event] = []
    manifest = stage_run.run("finetune", CFG, given, store, emit=events.append)
    return manifest.to_bytes(), events


def test_a_stage_killed_with_its_machine_seals_the_same_manifest(
    store_uri: str, start: Path, tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_store(str(tmp_path / "whole"))
    expected, _ = finish(whole, inputs(whole, start, tmp_path / "in-whole"))
    store, log = open_store(store_uri), tmp_path / "log"
    given = inputs(store, start, tmp_path / "in")
    with begin(store_uri, given, log, CFG) as process:
        wait_while(process, log, lambda: 6 in checkpoint_steps(store))
        process.send_signal(signal.SIGKILL)
    newest = max(checkpoint_steps(store))
    lose(machine, store)
    manifest, events = finish(store, given)
    assert manifest == expected
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert notes == [f"resumes the checkpoint of step {newest} in the store"]
    assert newest < 16
    sealed = Artifact.open(store, stage_run.name_work(stage_run.load_stage("finetune"), CFG, given, tmp_path)[0])
    names = {file.name for file in sealed.manifest.files} | {"manifest.json", "cost.json", "speed.jsonl"}
    assert set(store.list(str(sealed.ref))) == {f"{sealed.ref}/{name}" for name in names}


@pytest.mark.parametrize("grace", ["enough", "too short"])
def test_a_stage_told_to_stop_sends_its_checkpoint(
    s3_store_uri: str, proxy: Proxy, start: Path, tmp_path: Path, machine: Path, grace: str
) -> None:
    store, log = open_store(s3_store_uri), tmp_path / "log"
    assert isinstance(store, S3Store)
    given = inputs(store, start, tmp_path / "in")
    hold = threading.Event()

    def fault(request: Request) -> Any:
        return "hold" if hold.is_set() and request.method == "PUT" and "/checkpoints/" in request.path else None

    proxy.fault = fault
    with begin(s3_store_uri, given, log, CFG) as process:
        wait_while(process, log, lambda: 6 in checkpoint_steps(store))
        before = checkpoint_steps(store)
        if grace == "too short":
            hold.set()
            proxy.forget()
        process.send_signal(signal.SIGTERM)
        if grace == "too short":
            wait_while(process, log, lambda: proxy_saw(proxy, "/checkpoints/"))
            time.sleep(0.5)
            process.send_signal(signal.SIGKILL)
        code = process.wait(60)
    said = log.read_text()
    lose(machine, store)
    proxy.fault = lambda request: None
    _, events = finish(store, given)
    (note,) = [event["message"] for event in events if event["event"] == "note"]
    if grace == "enough":
        told = re.search(r"stopped as asked at step (\d+) of 16; its checkpoint is in \S+\n", said)
        assert told, said
        assert (code, note) == (75, f"resumes the checkpoint of step {told[1]} in the store")
    else:
        assert code == -signal.SIGKILL
        assert note == f"resumes the checkpoint of step {max(before)} in the store"
